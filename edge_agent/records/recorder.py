"""Writes what happens at the gate to the ledger: a method that returned has its record on the disk."""

from __future__ import annotations

import logging
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from config.settings import BoxSettings
from edge_agent.domain.passage import Moment, Outcome, Passage, Reason
from edge_agent.records.conversion import clock_record, decided_record
from sync.contract.records import AlarmRaised, BroadcastPlayed, Clock, PassageClosed, PassageDecided, Record
from sync.edge.ledger.ledger import Ledger
from sync.errors import StoreFull

_LOG = logging.getLogger(__name__)

PENDING_LIMIT = 200
_LOOK_BACK = 64  # passages follow one another: only the newest can be open

_ALARMING = {
    Reason.FEVER: "fever",
    Reason.WATCH_LIST: "watch_list",
    Reason.TEST_POSITIVE: "test_positive",
    Reason.CODE_RED: "code_red",
}


class PassageRecorder:
    """Writes passages and alarms of this box, stamped with its own clock.

    Where the disk is full and nothing can be evicted, records of what has happened wait in memory for room: at most
    PENDING_LIMIT, then the oldest are dropped and counted. A verdict never waits.
    """

    def __init__(self, ledger: Ledger, box: BoxSettings, now: Callable[[], Moment]) -> None:
        self.is_full = False
        self.dropped = 0
        self._ledger = ledger
        self._box = box
        self._now = now
        self._pending: deque[Record] = deque()

    async def commit(self, passage: Passage) -> None:
        """Store the verdict, and the alarms it causes, in one transaction.

        Raises StoreFull where there is no room: then the verdict must be neither spoken nor shown.
        """
        decided = clock_record(passage.decided)
        alarms = [
            _alarm(decided, _ALARMING[reason], passage.passage_id, "")
            for reason in passage.decision.reasons
            if reason in _ALARMING
        ]
        await self._store([*alarms, decided_record(passage, self._box)])

    async def close(
        self, passage: Passage, outcome: Outcome, arrival_to_prompt_ms: int | None, *, gate_opened: bool
    ) -> None:
        """Record how the passage ended."""
        await self._note(
            PassageClosed(
                passage_id=passage.passage_id,
                closed=self._clock(),
                outcome=outcome.value,
                arrival_to_prompt_ms=arrival_to_prompt_ms,
                gate_opened=gate_opened,
            )
        )

    async def close_interrupted(self) -> None:
        """Close the passages that the last run decided and did not close; whether the gate opened is unknown."""
        records = [row.record() for row in await self._ledger.recent(_LOOK_BACK)]
        closed = {record.passage_id for record in records if isinstance(record, PassageClosed)}
        for record in records:
            if isinstance(record, PassageDecided) and record.passage_id not in closed:
                await self._note(
                    PassageClosed(
                        passage_id=record.passage_id,
                        closed=self._clock(),
                        outcome=Outcome.INTERRUPTED.value,
                        arrival_to_prompt_ms=None,
                        gate_opened=None,
                    )
                )

    async def alarm(self, kind: str, subject: str, detail: str = "") -> None:
        """Record an alarm that no passage caused; `subject` names a part, never a person."""
        await self._note(_alarm(self._clock(), kind, subject, detail))

    async def played(self, broadcast_id: str, *, emergency: bool, heard: bool) -> None:
        """Record that a broadcast was played; `heard` is whether its sound was played whole."""
        await self._note(
            BroadcastPlayed(broadcast_id=broadcast_id, played=self._clock(), emergency=emergency, heard=heard)
        )

    async def store_pending(self) -> None:
        """Store the records that wait for room, if there is room now; an alarm records that there was none."""
        if self.is_full:
            with suppress(StoreFull):
                await self._store(
                    [_alarm(self._clock(), "disk_full", "ledger", "for a time no verdict could be stored")]
                )

    async def _note(self, record: Record) -> None:
        """Store `record`, or keep it pending."""
        try:
            await self._store([record])
        except StoreFull:
            self._pending.append(record)
            if len(self._pending) > PENDING_LIMIT:
                self._pending.popleft()
                self.dropped += 1

    async def _store(self, records: Sequence[Record]) -> None:
        pending, self._pending = self._pending, deque()
        try:
            await self._ledger.append_all([*pending, *records])
        except StoreFull:
            self._pending.extendleft(reversed(pending))
            if not self.is_full:
                _LOG.warning("disk full and no records can be evicted: verdicts are suspended")
            self.is_full = True
            raise
        if self.is_full:
            _LOG.warning("the ledger has room again; %d records were dropped", self.dropped)
        self.is_full = False

    def _clock(self) -> Clock:
        return clock_record(self._now())


def _alarm(raised: Clock, kind: str, subject: str, detail: str) -> AlarmRaised:
    return AlarmRaised(alarm_id=uuid.uuid4().hex, raised=raised, kind=kind, subject=subject, detail=detail)
