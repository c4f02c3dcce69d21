"""Domain values into records of the ledger; what returns from here is on the disk."""

from __future__ import annotations

import logging
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from config.settings import BoxSettings
from edge_agent.domain.passage import Decision, Measurement, Moment, Outcome, Passage, Reason
from sync.contract.health import Lookup
from sync.contract.records import (
    AlarmRaised,
    BroadcastPlayed,
    Clock,
    Health,
    Mask,
    PassageClosed,
    PassageDecided,
    Record,
    Temperature,
)
from sync.edge.ledger.ledger import Ledger
from sync.errors import StoreFull

_LOG = logging.getLogger(__name__)

OWED_LIMIT = 200
_LOOK_BACK = 64  # passages follow one another: only the newest can be open

_ALARMING = {
    Reason.FEVER: "fever",
    Reason.WATCH_LIST: "watch_list",
    Reason.TEST_POSITIVE: "test_positive",
    Reason.CODE_RED: "code_red",
}


class PassageRecorder:
    """Writes passages and alarms of this box.

    Where the disk takes nothing and nothing can be given up, what has happened is owed: at most OWED_LIMIT records wait
    in memory for room, the oldest are counted and let go. A verdict is never owed.
    """

    def __init__(self, outbox: Ledger, box: BoxSettings) -> None:
        self.is_full = False
        self.let_go = 0
        self._outbox = outbox
        self._box = box
        self._owed: deque[Record] = deque()

    async def commit(self, passage: Passage) -> None:
        """Put the verdict, and the alarms it causes, on the disk in one transaction.

        Raises StoreFull where there is no room: then nobody may be told the verdict.
        """
        alarms = [
            _alarm(passage.decided, _ALARMING[reason], passage.passage_id, "")
            for reason in passage.decision.reasons
            if reason in _ALARMING
        ]
        await self._store([*alarms, self._decided(passage)])

    async def close(
        self, passage: Passage, closed: Moment, outcome: Outcome, arrival_to_prompt_ms: int | None, *, gate_opened: bool
    ) -> None:
        """Put down how the passage ended."""
        await self._note(
            PassageClosed(
                passage_id=passage.passage_id,
                closed=_clock(closed),
                outcome=outcome.value,
                arrival_to_prompt_ms=arrival_to_prompt_ms,
                gate_opened=gate_opened,
            )
        )

    async def close_interrupted(self, now: Moment) -> None:
        """Close what the agent's last run decided and did not see end; nobody knows whether the gate opened."""
        records = [row.record() for row in await self._outbox.recent(_LOOK_BACK)]
        closed = {record.passage_id for record in records if isinstance(record, PassageClosed)}
        for record in records:
            if isinstance(record, PassageDecided) and record.passage_id not in closed:
                await self._note(
                    PassageClosed(
                        passage_id=record.passage_id,
                        closed=_clock(now),
                        outcome=Outcome.INTERRUPTED.value,
                        arrival_to_prompt_ms=None,
                        gate_opened=None,
                    )
                )

    async def alarm(self, raised: Moment, kind: str, subject: str, detail: str) -> None:
        """Put down an alarm that no passage caused; `subject` names a part, never a person."""
        await self._note(_alarm(raised, kind, subject, detail))

    async def played(self, played: Moment, broadcast_id: str, *, emergency: bool, heard: bool) -> None:
        """Put down that a broadcast was said to its end, or not."""
        await self._note(
            BroadcastPlayed(broadcast_id=broadcast_id, played=_clock(played), emergency=emergency, heard=heard)
        )

    async def try_again(self, now: Moment) -> None:
        """Store what is owed, if there is room by now; an alarm says that there was none."""
        if self.is_full:
            with suppress(StoreFull):
                await self._store([_alarm(now, "disk_full", "ledger", "for a time no verdict could be stored")])

    async def _note(self, record: Record) -> None:
        """Store what happened, or owe it."""
        try:
            await self._store([record])
        except StoreFull:
            self._owed.append(record)
            if len(self._owed) > OWED_LIMIT:
                self._owed.popleft()
                self.let_go += 1

    async def _store(self, records: Sequence[Record]) -> None:
        owed, self._owed = self._owed, deque()
        try:
            await self._outbox.append_all([*owed, *records])
        except StoreFull:
            self._owed.extendleft(reversed(owed))
            if not self.is_full:
                _LOG.warning("the disk is full and nothing can be given up: no verdict is taken until there is room")
            self.is_full = True
            raise
        if self.is_full:
            _LOG.warning("the ledger has room again; %d records were let go meanwhile", self.let_go)
        self.is_full = False

    def _decided(self, passage: Passage) -> PassageDecided:
        credential, decision = passage.credential, passage.decision
        return PassageDecided(
            passage_id=passage.passage_id,
            follows=passage.follows,
            decided=_clock(passage.decided),
            checkpoint=self._box.checkpoint,
            lane=self._box.lane,
            direction=self._box.direction,
            verdict=decision.verdict.value,
            reasons=_reasons(decision),
            credential=credential.kind.value if credential else None,
            person_key=credential.person_key if credential else None,
            temperature=_temperature(passage),
            mask=_mask(passage.measurement),
            health=_health(passage.lookup),
            policy_version=passage.policy_version,
            attempt=passage.attempt,
            credential_problem=credential.problem.value if credential and credential.problem else None,
            parts_lost=_parts_lost(passage.measurement),
            age=credential.age.value if credential and credential.age else None,
            arrival_to_decision_ms=round((passage.decided.monotonic_s - passage.arrived_at_s) * 1000),
        )


def _reasons(decision: Decision) -> tuple[str, ...]:
    return tuple(reason.value for reason in decision.reasons)


def _alarm(raised: Moment, kind: str, subject: str, detail: str) -> AlarmRaised:
    return AlarmRaised(alarm_id=uuid.uuid4().hex, raised=_clock(raised), kind=kind, subject=subject, detail=detail)


def _clock(moment: Moment) -> Clock:
    return Clock(
        wall=moment.wall,
        boot_id=moment.boot_id,
        monotonic_ms=round(moment.monotonic_s * 1000),
        in_sync=moment.in_sync,
        error_ms=None if moment.error_s is None else round(moment.error_s * 1000),
    )


def _temperature(passage: Passage) -> Temperature:
    reading = passage.measurement.temperature
    return Temperature(
        estimate_c=reading.estimate_c,
        uncertainty_c=reading.uncertainty_c,
        skin_c=reading.skin_c,
        ambient_c=reading.ambient_c,
        samples=reading.samples,
        method=reading.method,
        grade=passage.grade.value,
        regions=dict(reading.regions),
        correction_c=reading.correction_c,
        distance_m=reading.distance_m,
        fever_probability=reading.fever_probability,
        outside=reading.outside,
    )


def _parts_lost(measurement: Measurement) -> tuple[str, ...]:
    lost = {"thermometer": measurement.thermometer_lost, "camera": measurement.camera_lost}
    return tuple(part for part, is_lost in lost.items() if is_lost)


def _mask(measurement: Measurement) -> Mask:
    reading = measurement.mask
    return Mask(state=reading.state.value if reading.state else None, share=reading.share, frames=reading.frames)


def _health(lookup: Lookup) -> Health:
    status = lookup.status
    return Health(
        lookup=lookup.outcome,
        source=lookup.source,
        freshness=lookup.freshness,
        age_s=round(lookup.age_s, 1),
        colour=status.colour if status else None,
        as_of=status.as_of if status else None,
        sampled_at=status.sampled_at if status else None,
        reported_at=status.reported_at if status else None,
        result=status.result if status else None,
        lists=status.lists if status else (),
    )
