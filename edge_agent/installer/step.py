"""One change of the box that can be previewed, applied and undone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from edge_agent.installer.errors import InstallError, NotUndone


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
    """Apply the steps that are not done; returns whether there were any. On an error all applied steps are undone.

    The reason is printed before the steps are undone. Raises InstallError, OSError; NotUndone when something remains.
    """
    begun: list[InstallStep] = []
    try:
        for step in steps:
            if step.is_done():
                say(f"= {step.zh}：已就绪 / {step.en}: already done")
                continue
            begun.append(step)
            step.do()
            say(f"✓ {step.zh} / {step.en}")
    except BaseException as exc:
        say(f"✗ {exc if isinstance(exc, InstallError | OSError) else '中断 interrupted'}")
        _undo(begun, say)
        raise
    for step in begun:
        step.settle()
    return bool(begun)


def _undo(begun: Sequence[InstallStep], say: Callable[[str], None]) -> None:
    """Undo the last step first. A step that cannot be undone is named and does not keep the others; NotUndone then."""
    remaining = []
    for step in reversed(begun):
        try:
            step.undo()
        except (InstallError, OSError) as exc:
            remaining.append(step.en)
            say(f"! 未能撤销 not undone: {step.zh} / {step.en}: {exc}")
        else:
            say(f"↩ 已撤销 undone: {step.zh} / {step.en}")
    if remaining:
        raise NotUndone(f"未能撤销，请手工恢复 not undone, restore by hand: {'; '.join(remaining)}")


def preview(steps: Sequence[InstallStep], say: Callable[[str], None]) -> bool:
    """Print what `apply` would do; returns whether there is anything to do."""
    pending = [step for step in steps if not step.is_done()]
    for step in steps:
        if step in pending:
            say(f"→ 将执行：{step.zh} / would do: {step.en}")
        else:
            say(f"= {step.zh}：已就绪 / {step.en}: already done")
    return bool(pending)
