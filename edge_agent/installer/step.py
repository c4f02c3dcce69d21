"""One change of the box that can be looked at, made and taken back."""

from __future__ import annotations

import shlex
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_agent.installer.errors import InstallError

_COMMAND_LIMIT_S = 600.0


class InstallStep(ABC):
    """`zh` and `en` say what it does."""

    def __init__(self, zh: str, en: str) -> None:
        self.zh = zh
        self.en = en

    @abstractmethod
    def is_done(self) -> bool:
        """Whether there is nothing to do."""

    @abstractmethod
    def do(self) -> None:
        """Make the change. Raises InstallError, OSError."""

    @abstractmethod
    def undo(self) -> None:
        """Take back what `do` did, even where it got only half way."""

    def settle(self) -> None:
        """All steps are made: let go of what `undo` would have needed."""
        return


def apply(steps: Sequence[InstallStep], say: Callable[[str], None]) -> bool:
    """Make the steps that are not done; returns whether there were any. Whatever ends it, the box is as before then."""
    begun: list[InstallStep] = []
    try:
        for step in steps:
            if step.is_done():
                say(f"= {step.zh}：已就绪 / {step.en}: as it should be")
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
    """Say what `apply` would do; returns whether it would do anything."""
    ahead = [step for step in steps if not step.is_done()]
    for step in steps:
        if step in ahead:
            say(f"→ 将执行：{step.zh} / would do: {step.en}")
        else:
            say(f"= {step.zh}：已就绪 / {step.en}: as it should be")
    return bool(ahead)


def run(*command: str | Path) -> str:
    """What a command prints. Raises InstallError with its last words."""
    words = [str(word) for word in command]
    try:
        shown = subprocess.run(words, capture_output=True, text=True, timeout=_COMMAND_LIMIT_S, check=False)
    except FileNotFoundError as exc:
        raise InstallError(f"缺少程序 {words[0]} is missing: apt-get install it, then try again") from exc
    except subprocess.TimeoutExpired as exc:
        raise InstallError(f"{shlex.join(words)}: not over after {_COMMAND_LIMIT_S:.0f} s") from exc
    if shown.returncode:
        last = "\n".join((shown.stdout + shown.stderr).strip().splitlines()[-5:])
        raise InstallError(f"{shlex.join(words)}: {last}")
    return shown.stdout
