"""Another policy held against what the ledger remembers: who would have fared otherwise, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from datetime import datetime

from edge_agent.domain.passage import (
    AgeGroup,
    Credential,
    CredentialKind,
    CredentialProblem,
    Decision,
    MaskReading,
    Measurement,
    Moment,
    TemperatureReading,
)
from edge_agent.policy.decide import decide
from edge_agent.policy.rules import Policy
from models.detections import MaskState
from sync.contract.health import HealthStatus, Lookup, LookupOutcome
from sync.contract.records import PassageDecided

SHOWN = 20


@dataclass(frozen=True, slots=True)
class ChangedVerdict:
    """One passage that would have gone otherwise; `now` and `then` are verdicts, the reasons those of each."""

    passage_id: str
    decided: datetime
    then: str
    now: str
    reasons_then: tuple[str, ...]
    reasons_now: tuple[str, ...]


@dataclass(slots=True)
class PolicyComparison:
    """What came of it. `too_old` were recorded before 0.2, without all that a verdict rests on."""

    version: int
    passages: int = 0
    too_old: int = 0
    changed: int = 0
    changes: Counter[str] = field(default_factory=Counter)  # by "admit > refuse"
    why: Counter[str] = field(default_factory=Counter)  # by the first reason that was none then, or is none now
    examples: list[ChangedVerdict] = field(default_factory=list)  # the newest 20

    def note(self, record: PassageDecided, decision: Decision) -> None:
        """Hold `decision` against what was decided."""
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
        """For scripts; without a person in it."""
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
    """Decide every passage again by `policy`; rechecks count one by one, as they were decided."""
    trial = PolicyComparison(policy.version)
    async for record in passages:
        if record.health.lookup is LookupOutcome.FOUND and record.health.result is None:
            trial.too_old += 1
        else:
            trial.note(record, replay(record, policy))
    return trial


def replay(record: PassageDecided, policy: Policy) -> Decision:
    """The verdict that `policy` gives on what `record` remembers."""
    return decide(
        _measurement(record), _credential(record), _lookup(record), policy, _moment(record), attempt=record.attempt
    )


def _measurement(record: PassageDecided) -> Measurement:
    warmth, mask = record.temperature, record.mask
    return Measurement(
        temperature=TemperatureReading(
            estimate_c=warmth.estimate_c,
            uncertainty_c=warmth.uncertainty_c,
            skin_c=warmth.skin_c,
            ambient_c=warmth.ambient_c,
            samples=warmth.samples,
            method=warmth.method,
            outside=warmth.outside,
        ),
        mask=MaskReading(MaskState(mask.state) if mask.state else None, mask.share, mask.frames),
        thermometer_lost="thermometer" in record.parts_lost,
        camera_lost="camera" in record.parts_lost,
    )


def _credential(record: PassageDecided) -> Credential | None:
    if record.credential is None:
        return None
    problem = CredentialProblem(record.credential_problem) if record.credential_problem else None
    age = AgeGroup(record.age) if record.age else None
    return Credential(CredentialKind(record.credential), 0.0, record.person_key, problem, age)


def _lookup(record: PassageDecided) -> Lookup:
    known = record.health
    status = None
    if known.colour is not None and known.as_of is not None and known.result is not None:
        status = HealthStatus(
            person_key=record.person_key or "",
            colour=known.colour,
            as_of=known.as_of,
            sampled_at=known.sampled_at,
            reported_at=known.reported_at,
            result=known.result,
            lists=known.lists,
        )
    return Lookup(known.lookup, status, known.freshness, known.age_s, known.source)


def _moment(record: PassageDecided) -> Moment:
    clock = record.decided
    error_s = None if clock.error_ms is None else clock.error_ms / 1000
    return Moment(clock.wall, clock.monotonic_ms / 1000, clock.boot_id, clock.in_sync, error_s)


def _why(then: tuple[str, ...], now: tuple[str, ...]) -> str:
    """What tips the balance: the first reason that is new, else the first that is gone."""
    new = next((reason for reason in now if reason not in then), None)
    return new or "no longer " + next((reason for reason in then if reason not in now), "the same")
