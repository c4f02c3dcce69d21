"""What a drill showed: step by step what the rules declare and what the line did."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class DrillStep:
    """One step; `declared` is what the policy says, `seen` what came, each a verdict with its reason or a state."""

    zh: str
    en: str
    declared: str
    seen: str
    passed: bool


@dataclass(slots=True)
class DrillReport:
    """The steps of one drill in their order."""

    fault: str
    policy_version: int = 0  # until the stage is up
    steps: list[DrillStep] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the line did what is declared at every step, and healed."""
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
        """The report for people."""
        told = [f"演练 drill: {self.fault}  准入规则 policy version {self.policy_version}"]
        for step in self.steps:
            told += [
                f"{'✓' if step.passed else '✗'} {step.zh}  {step.en}",
                f"    规则 declared  {step.declared}",
                f"    实际 seen      {step.seen}",
            ]
        told.append(
            "通过：规则成立 passed: the rule holds" if self.passed else "未通过：规则不成立 failed: it does not hold"
        )
        return told
