"""One change of the box that can be previewed, applied and undone."""

from __future__ import annotations

import shlex
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_agent.installer.errors import InstallError

_COMMAND_LIMIT_S = 600.0


class InstallStep(ABC):
    """One change; `zh` and `en` describe it."""

    def __init__(self, zh: str, en: str) -> None:
        self.zh = zh
        self.en = en

    @abstractmethod
    def is_done(self) -> bool:
        """Whether the change is already in effect."""

    @abstractmethod
    def do(self) -> None:
        """Apply the change. Raises InstallError, OSError."""

    @abstractmethod
    def undo(self) -> None:
        """Undo `do`, even if it was interrupted."""

    def settle(self) -> None:
        """Delete what `undo` needed: every step has succeeded."""
        return


def apply(steps: Sequence[InstallStep], say: Callable[[str], None]) -> bool:
    """Apply the steps that are not done; returns whether there were any. On an error all applied steps are undone."""
    begun: list[InstallStep] = []
    try:
        for step in steps:
            if step.is_done():
                say(f"= {step.zh}：已就绪 / {step.en}: already done")
                continue
            begun.append(step)
            step.do()
            say(f"✓ {step.zh} / {step.en}")
    except BaseException:
        for step in reversed(begun):
            step.undo()
            say(f"↩ 已撤销 undone: {step.zh} / {step.en}")
        raise
    for step in begun:
        step.settle()
    return bool(begun)


def preview(steps: Sequence[InstallStep], say: Callable[[str], None]) -> bool:
    """Print what `apply` would do; returns whether there is anything to do."""
    pending = [step for step in steps if not step.is_done()]
    for step in steps:
        if step in pending:
            say(f"→ 将执行：{step.zh} / would do: {step.en}")
        else:
            say(f"= {step.zh}：已就绪 / {step.en}: already done")
    return bool(pending)


def run(*command: str | Path) -> str:
    """Standard output of a command. Raises InstallError with its last lines."""
    words = [str(word) for word in command]
    try:
        ended = subprocess.run(words, capture_output=True, text=True, timeout=_COMMAND_LIMIT_S, check=False)
    except FileNotFoundError as exc:
        raise InstallError(f"缺少程序 {words[0]} is missing: apt-get install it, then try again") from exc
    except subprocess.TimeoutExpired as exc:
        raise InstallError(f"{shlex.join(words)}: not finished after {_COMMAND_LIMIT_S:.0f} s") from exc
    if ended.returncode:
        last = "\n".join((ended.stdout + ended.stderr).strip().splitlines()[-5:])
        raise InstallError(f"{shlex.join(words)}: {last}")
    return ended.stdout
