"""Stores what the boxes report of the ends of their ledgers, which the verification of their records needs."""

from __future__ import annotations

import asyncio
import logging

from sync.contract.messages import HealthReport
from sync.errors import StoreFailed
from sync.platform.records.store_contract import RecordStore, ReportedEnd

log = logging.getLogger(__name__)

_INTERVAL_S = 1.0


class ReportedEnds:
    """The newest report of each box, stored within a second; one that could not be stored is replaced by the next."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self._new: dict[str, list[ReportedEnd]] = {}
        self._failed = False

    def note(self, box: str, report: HealthReport, now_ms: int) -> None:
        """Have the ends of `report` stored."""
        self._new[box] = [
            ReportedEnd(
                box, end.epoch, end.last_seq, None if end.head is None else bytes.fromhex(end.head), end.waiting, now_ms
            )
            for end in report.epochs
        ]

    async def run(self) -> None:
        """Store until cancelled."""
        try:
            while True:
                await asyncio.sleep(_INTERVAL_S)
                await self._store_new()
        finally:
            await self._store_new()

    async def _store_new(self) -> None:
        new, self._new = self._new, {}
        ends = [end for reported in new.values() for end in reported]
        if not ends:
            return
        try:
            await self._store.note_ends(ends)
        except StoreFailed as exc:
            if not self._failed:
                log.warning("the last numbers of %d boxes are not stored: %s", len(new), exc)
            self._failed = True
        else:
            self._failed = False
