"""The report of `edge-agent doctor`: the result of each check and, for a fault, its remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from config.settings import Settings
from edge_agent.domain.passage import Moment
from sync.redaction import redact


class CheckStatus(StrEnum):
    """The status of one check."""

    OK = "ok"
    WARNING = "warning"  # it works now; act before it fails
    FAILED = "failed"
    NOT_CHECKED = "not_checked"  # not applicable, or something it depends on has failed


_MARKS = {CheckStatus.OK: "✓", CheckStatus.WARNING: "!", CheckStatus.FAILED: "✗", CheckStatus.NOT_CHECKED: "–"}


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do about a fault: one sentence in Chinese and the same in English."""

    zh: str
    en: str


NO_REMEDY = Remedy("", "")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found, and the remedy where there is a fault."""

    status: CheckStatus
    found: str
    remedy: Remedy = NO_REMEDY


def ok(found: str) -> CheckResult:
    """No fault."""
    return CheckResult(CheckStatus.OK, found)


def not_checked(why: str) -> CheckResult:
    """Not applicable, or it cannot be checked now; `why` is shown as found."""
    return CheckResult(CheckStatus.NOT_CHECKED, why)


def warning(found: str, zh: str, en: str) -> CheckResult:
    """It works, but the remedy should be applied."""
    return CheckResult(CheckStatus.WARNING, found, Remedy(zh, en))


def failed(found: str, zh: str, en: str) -> CheckResult:
    """It does not work."""
    return CheckResult(CheckStatus.FAILED, found, Remedy(zh, en))


@dataclass(frozen=True, slots=True)
class Site:
    """The box under check: its settings, its clock, and the status of its running agent (None if none runs).

    `root` is the root of the system's files; `open_gate` permits one pulse of the gate.
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
        """The folder of the agent's databases."""
        return Path(self.settings.box.data_dir)


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `run` may block, or be a coroutine function; it is abandoned after `limit_s`."""

    name: str
    run: Callable[[Site], CheckResult | Awaitable[CheckResult]]
    limit_s: float = 15.0


@dataclass(frozen=True, slots=True)
class ReportLine:
    """The result of the check named `check`."""

    check: str
    result: CheckResult

    @property
    def passed(self) -> bool:
        """Whether the check did not fail; warnings and checks that were not run count as passed."""
        return self.result.status is not CheckStatus.FAILED

    def to_dict(self) -> dict[str, object]:
        """The line for JSON."""
        return {
            "check": self.check,
            "passed": self.passed,
            "status": self.result.status.value,
            "found": redact(self.result.found),
            "remedy_zh": self.result.remedy.zh,
            "remedy": self.result.remedy.en,
        }

    def text(self) -> str:
        """The result, with the remedy below it."""
        result = self.result
        line = f"{_MARKS[result.status]} {self.check:<14}{redact(result.found)}"
        if result.remedy == NO_REMEDY:
            return line
        return f"{line}\n    → {result.remedy.zh}\n      {result.remedy.en}"


def summary(report: Sequence[ReportLine]) -> str:
    """The number of checks, failures and warnings in one line."""
    count = Counter(line.result.status for line in report)
    failures, warnings = count[CheckStatus.FAILED], count[CheckStatus.WARNING]
    return f"{len(report)} 项检查，{failures} 项故障，{warnings} 项提醒 · {failures} failed, {warnings} warnings"
