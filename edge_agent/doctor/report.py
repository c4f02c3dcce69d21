"""The sheet an installer reads before leaving: what each check found and, where something is wrong, what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from config.settings import Settings
from edge_agent.domain.passage import Moment


class CheckStatus(StrEnum):
    """What came of one check."""

    OK = "ok"
    WARNING = "warning"  # it works today; somebody should act before it does not
    FAILED = "failed"
    NOT_CHECKED = "not_checked"  # nothing to check here, or what it needs has failed already


_MARKS = {CheckStatus.OK: "✓", CheckStatus.WARNING: "!", CheckStatus.FAILED: "✗", CheckStatus.NOT_CHECKED: "–"}


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do about a fault: one sentence in Chinese and the same in English."""

    zh: str
    en: str


NOTHING_TO_DO = Remedy("", "")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one look gave."""

    status: CheckStatus
    found: str
    remedy: Remedy = NOTHING_TO_DO


def ok(found: str) -> CheckResult:
    """All is well."""
    return CheckResult(CheckStatus.OK, found)


def not_checked(why: str) -> CheckResult:
    """There is nothing to check here, or it cannot be checked now."""
    return CheckResult(CheckStatus.NOT_CHECKED, why)


def warning(found: str, zh: str, en: str) -> CheckResult:
    """It works, but somebody should act."""
    return CheckResult(CheckStatus.WARNING, found, Remedy(zh, en))


def failed(found: str, zh: str, en: str) -> CheckResult:
    """It does not work."""
    return CheckResult(CheckStatus.FAILED, found, Remedy(zh, en))


@dataclass(frozen=True, slots=True)
class Site:
    """The box that is looked at: its settings, the clock, and what its running agent says (None: none runs).

    `root` is where the files of the system lie; `open_gate` is a person's yes to one pulse of the gate.
    """

    settings: Settings
    config: Path
    now: Moment
    agent: Mapping[str, Any] | None
    root: Path
    prompts: Path
    open_gate: bool

    @property
    def data_dir(self) -> Path:
        """Where the agent keeps its stores."""
        return Path(self.settings.box.data_dir)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the sheet. `look` may block, or be a coroutine function; it is given up after `limit_s`."""

    name: str
    look: Callable[[Site], CheckResult | Awaitable[CheckResult]]
    limit_s: float = 15.0


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One check's line of the sheet."""

    check: str
    answer: CheckResult

    @property
    def passed(self) -> bool:
        """Whether nothing is broken: a warning, or what could not be checked, stops nobody."""
        return self.answer.status is not CheckStatus.FAILED

    def to_dict(self) -> dict[str, object]:
        """The finding for JSON."""
        return {
            "check": self.check,
            "passed": self.passed,
            "status": self.answer.status.value,
            "found": self.answer.found,
            "remedy_zh": self.answer.remedy.zh,
            "remedy": self.answer.remedy.en,
        }

    def line(self) -> str:
        """The finding for people; what is to be done stands below it."""
        answer = self.answer
        line = f"{_MARKS[answer.status]} {self.check:<14}{answer.found}"
        if answer.remedy == NOTHING_TO_DO:
            return line
        return f"{line}\n    → {answer.remedy.zh}\n      {answer.remedy.en}"


def summary(sheet: Sequence[CheckFinding]) -> str:
    """The whole sheet in one line."""
    count = Counter(finding.answer.status for finding in sheet)
    failures, warnings = count[CheckStatus.FAILED], count[CheckStatus.WARNING]
    return f"{len(sheet)} 项检查，{failures} 项故障，{warnings} 项提醒 · {failures} failed, {warnings} warnings"
