"""The report of a drill: for each step what the policy declares and what the agent did."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class DrillStep:
    """One step; `declared` is expected by the policy and `seen` observed, each a verdict with its reason or a state."""

    zh: str
    en: str
    declared: str
    seen: str
    passed: bool


@dataclass(slots=True)
class DrillReport:
    """The steps of one drill, in order."""

    fault: str
    policy_version: int = 0  # until the sentinel runs
    steps: list[DrillStep] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every step went as declared."""
        return bool(self.steps) and all(step.passed for step in self.steps)

    def note(self, zh: str, en: str, *, declared: str, seen: str, passed: bool) -> None:
        """Add a step."""
        self.steps.append(DrillStep(zh, en, declared, seen, passed))

    def to_dict(self) -> dict[str, object]:
        """The report for JSON."""
        return {
            "fault": self.fault,
            "policy_version": self.policy_version,
            "passed": self.passed,
            "steps": [asdict(step) for step in self.steps],
        }

    def lines(self) -> list[str]:
        """The report as lines of text."""
        lines = [f"演练 drill: {self.fault}  准入规则 policy version {self.policy_version}"]
        for step in self.steps:
            lines += [
                f"{'✓' if step.passed else '✗'} {step.zh}  {step.en}",
                f"    规则 declared  {step.declared}",
                f"    实际 seen      {step.seen}",
            ]
        lines.append(
            "通过：规则成立 passed: the rule holds" if self.passed else "未通过：规则不成立 failed: it does not hold"
        )
        return lines
