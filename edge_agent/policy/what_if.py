"""Compares another policy with the decisions in the ledger: which verdicts would change, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from datetime import datetime

from edge_agent.domain.passage import Decision
from edge_agent.policy.decide import decide
from edge_agent.policy.rules import Policy
from edge_agent.records.conversion import credential_from, lookup_from, measurement_from, moment_from
from sync.contract.health import LookupOutcome
from sync.contract.records import PassageDecided

SHOWN = 20


@dataclass(frozen=True, slots=True)
class ChangedVerdict:
    """One passage whose verdict would change from `then` to `now`, with the reasons of both."""

    passage_id: str
    decided: datetime
    then: str
    now: str
    reasons_then: tuple[str, ...]
    reasons_now: tuple[str, ...]


@dataclass(slots=True)
class PolicyComparison:
    """Result of the comparison. `too_old` passages were recorded before 0.2, without all inputs of a decision."""

    version: int
    passages: int = 0
    too_old: int = 0
    changed: int = 0
    changes: Counter[str] = field(default_factory=Counter)  # by "admit > refuse"
    why: Counter[str] = field(default_factory=Counter)  # by the first reason that is new, or gone
    examples: list[ChangedVerdict] = field(default_factory=list)  # the newest 20

    def note(self, record: PassageDecided, decision: Decision) -> None:
        """Compare `decision` with the recorded one."""
        self.passages += 1
        if decision.verdict.value == record.verdict:
            return
        reasons = tuple(reason.value for reason in decision.reasons)
        self.changed += 1
        self.changes[f"{record.verdict} > {decision.verdict.value}"] += 1
        self.why[_why(record.reasons, reasons)] += 1
        self.examples.append(
            ChangedVerdict(
                record.passage_id,
                record.decided.wall,
                record.verdict,
                decision.verdict.value,
                record.reasons,
                reasons,
            )
        )
        del self.examples[:-SHOWN]

    def to_dict(self) -> dict[str, object]:
        """Result as JSON, without person keys."""
        return {
            "policy_version": self.version,
            "passages": self.passages,
            "too_old": self.too_old,
            "changed": self.changed,
            "changes": dict(self.changes.most_common()),
            "why": dict(self.why.most_common()),
            "examples": [
                {
                    "passage_id": each.passage_id,
                    "decided": each.decided.isoformat(),
                    "then": each.then,
                    "now": each.now,
                    "reasons_then": each.reasons_then,
                    "reasons_now": each.reasons_now,
                }
                for each in self.examples
            ],
        }


async def compare_policy(policy: Policy, passages: AsyncIterable[PassageDecided]) -> PolicyComparison:
    """Decide every passage again by `policy`; each recheck counts as a passage."""
    trial = PolicyComparison(policy.version)
    async for record in passages:
        if record.health.lookup is LookupOutcome.FOUND and record.health.result is None:
            trial.too_old += 1
        else:
            trial.note(record, replay(record, policy))
    return trial


def replay(record: PassageDecided, policy: Policy) -> Decision:
    """The decision of `policy` on the inputs in `record`."""
    return decide(
        measurement_from(record),
        credential_from(record),
        lookup_from(record),
        policy,
        moment_from(record.decided),
        attempt=record.attempt,
    )


def _why(then: tuple[str, ...], now: tuple[str, ...]) -> str:
    """The reason of the change: the first that is new, else the first that is gone."""
    new = next((reason for reason in now if reason not in then), None)
    return new or "no longer " + next((reason for reason in then if reason not in now), "the same")
