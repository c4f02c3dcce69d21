"""The ledger of the box and its unacknowledged tail, the outbox: what is appended here is not lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlite_utils import Database

from sync.contract.records import Clock, Record
from sync.edge.clock import system_clock
from sync.edge.ledger_file import LEDGER_MIGRATIONS, Row, insert, rows, used_bytes, wall_ms
from sync.edge.sacrifice import make_room
from sync.errors import StoreFailed
from sync.sqlite_thread import SqliteThread

_DAY_S = 86_400
_CLEAN_CHUNK = 100  # rows past their retention that one acknowledgement may delete

_WAITING = "SELECT seq, kind, body, appended_ms FROM waiting WHERE alarm = ? AND seq > ? ORDER BY seq LIMIT ?"
_WAITING_NEWEST = "SELECT seq, kind, body, appended_ms FROM waiting WHERE alarm = 0 ORDER BY seq DESC LIMIT ?"
_NEWEST = "SELECT seq, kind, body, appended_ms FROM record ORDER BY seq DESC LIMIT ?"
_ACKNOWLEDGE = (
    "UPDATE record SET acknowledged_ms = ?, parked = NULL WHERE seq BETWEEN ? AND ? AND acknowledged_ms IS NULL"
)
_FORGET = (
    "DELETE FROM record WHERE acknowledged_ms < ? AND seq IN"
    " (SELECT seq FROM record WHERE acknowledged_ms IS NOT NULL ORDER BY seq LIMIT ?)"
)
_OLDEST = (
    "SELECT min(appended_ms) FROM record WHERE seq IN"
    " ((SELECT min(seq) FROM waiting WHERE alarm = 0), (SELECT min(seq) FROM waiting WHERE alarm = 1))"
)


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """State of the ledger; ages by the wall clock."""

    epoch: str
    last_seq: int
    unacknowledged: int  # without the parked ones
    parked: int  # refused for good, with a reason each
    oldest_age_s: float  # of the unacknowledged; 0 when there are none
    used_bytes: int
    set_aside: Path | None  # a damaged ledger found at start


@dataclass(slots=True)
class _Batch:
    """Records that wait for one commit together."""

    records: list[Record] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)  # filled by the commit
    last_seq: int = 0  # with the gap record that the commit may have added
    failed: StoreFailed | None = None


class Outbox:
    """Numbers are gap-free within an epoch; every append that returned survives a power cut.

    Appends that come while another commits go to the disk together. Over `budget_bytes` acknowledged rows go first,
    then the oldest passages become a gap record; alarms never go.
    """

    def __init__(
        self,
        store: SqliteThread,
        epoch: str,
        last_seq: int,
        budget_bytes: int,
        retention_s: int,
        clock: Callable[[], Clock],
    ) -> None:
        self.epoch = epoch
        self.last_seq = last_seq
        self._store = store
        self._budget_bytes = budget_bytes
        self._retention_s = retention_s
        self._clock = clock
        self._forming = _Batch()
        self._committing = asyncio.Lock()
        self._watchers: set[asyncio.Event] = set()

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        path: Path,
        *,
        budget_bytes: int,
        retention_s: int = 7 * _DAY_S,
        clock: Callable[[], Clock] = system_clock,
    ) -> AsyncIterator[Outbox]:
        """The ledger at `path`. A damaged file is set aside and a new epoch begins; parked rows get another chance."""
        async with SqliteThread.opened(path, LEDGER_MIGRATIONS) as store:
            epoch, last_seq = await store.write(_begin)
            yield cls(store, epoch, last_seq, budget_bytes, retention_s, clock)

    async def append(self, record: Record) -> int:
        """Commit `record`; returns its number once it is on the disk. Raises StoreFailed: then it is not stored."""
        [seq] = await self.append_all([record])
        return seq

    async def append_all(self, records: Iterable[Record]) -> list[int]:
        """Commit all `records` in one transaction; returns their numbers, which follow each other."""
        batch = self._forming
        first = len(batch.records)
        batch.records.extend(records)
        last = len(batch.records)
        async with self._committing:
            if self._forming is batch:
                self._forming = _Batch()
            # A cancelled caller may have left its commit running: the thread does a batch once, whoever asks.
            await self._store.run(lambda db: self._commit(db, batch))
        if batch.failed is not None:
            raise batch.failed
        self.last_seq = max(self.last_seq, batch.last_seq)
        self._changed()
        return batch.numbers[first:last]

    async def unacknowledged(self, alarms: bool, after_seq: int = 0, limit: int = 100) -> list[Row]:
        """Rows that wait, alarms or all others, in order from `after_seq` (exclusive)."""
        return await self._store.run(lambda db: rows(db, _WAITING, alarms, after_seq, limit))

    async def newest_unacknowledged(self, limit: int) -> list[Row]:
        """The newest rows that wait, without alarms, in order."""
        return (await self._store.run(lambda db: rows(db, _WAITING_NEWEST, limit)))[::-1]

    async def acknowledge(self, epoch: str, ranges: Iterable[tuple[int, int]]) -> int:
        """Mark inclusive `ranges` as committed at the platform; returns how many rows that freed.

        An acknowledgement of another epoch frees nothing.
        """
        if epoch != self.epoch:
            return 0
        wanted = tuple(ranges)
        freed = await self._store.write(lambda db: _acknowledge(db, wanted, self._retention_s))
        self._changed()
        return freed

    async def park(self, seq: int, reason: str) -> None:
        """Set a row aside that nobody will take, with the reason; it is kept and counted."""
        await self._store.write(
            lambda db: db.conn.execute(
                "UPDATE record SET parked = ? WHERE seq = ? AND acknowledged_ms IS NULL", (reason[:200], seq)
            )
        )
        self._changed()

    async def recent(self, limit: int) -> list[Row]:
        """The newest rows, acknowledged or not, newest first."""
        return await self._store.run(lambda db: rows(db, _NEWEST, limit))

    async def status(self) -> OutboxStatus:
        """Counts as of now."""
        waiting, parked, oldest_ms, used = await self._store.run(_count)
        age_s = max(0.0, (wall_ms() - oldest_ms) / 1000) if waiting else 0.0
        return OutboxStatus(self.epoch, self.last_seq, waiting, parked, age_s, used, self._store.set_aside)

    @contextmanager
    def watched(self, changed: asyncio.Event) -> Iterator[None]:
        """While the block lasts, `changed` is set after every append, acknowledgement and parking."""
        self._watchers.add(changed)
        try:
            yield
        finally:
            self._watchers.discard(changed)

    def _changed(self) -> None:
        for watcher in self._watchers:
            watcher.set()

    def _commit(self, db: Database, batch: _Batch) -> None:
        if batch.numbers or batch.failed is not None:
            return
        try:
            with db.atomic():
                numbers = [insert(db, record) for record in batch.records]
                gap_seq = make_room(db, self._budget_bytes, numbers[0], self._clock) if numbers else None
        except sqlite3.Error as exc:
            batch.failed = StoreFailed(str(exc))
        else:
            batch.numbers.extend(numbers)
            batch.last_seq = gap_seq or max(numbers, default=0)


def _begin(db: Database) -> tuple[str, int]:
    db.conn.execute("UPDATE record SET parked = NULL WHERE parked IS NOT NULL")
    [epoch] = db.conn.execute("SELECT epoch FROM ledger").fetchone()
    last = db.conn.execute("SELECT seq FROM sqlite_sequence WHERE name = 'record'").fetchone()
    return epoch, last[0] if last else 0


def _acknowledge(db: Database, ranges: tuple[tuple[int, int], ...], retention_s: int) -> int:
    now_ms = wall_ms()
    freed = sum(db.conn.execute(_ACKNOWLEDGE, (now_ms, first, last)).rowcount for first, last in ranges)
    db.conn.execute(_FORGET, (now_ms - 1000 * retention_s, _CLEAN_CHUNK))
    return freed


def _count(db: Database) -> tuple[int, int, int, int]:
    [waiting] = db.conn.execute("SELECT count(*) FROM waiting").fetchone()
    [oldest_ms] = db.conn.execute(_OLDEST).fetchone()
    [parked] = db.conn.execute("SELECT count(*) FROM record WHERE parked IS NOT NULL").fetchone()
    return waiting, parked, oldest_ms or 0, used_bytes(db)
