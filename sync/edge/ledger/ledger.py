"""The ledger of the box and its unacknowledged tail, the outbox: what is appended here is not lost."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Self

from sqlite_utils import Database

from sync.contract.records import Clock, Record
from sync.edge.ledger import outbox
from sync.edge.ledger.disk_reserve import DiskReserve
from sync.edge.ledger.recovery import forget_recovered, import_set_aside
from sync.edge.ledger.retention import Retention
from sync.edge.ledger.schema import (
    LEDGER_MIGRATIONS,
    Row,
    RowCipher,
    is_ours,
    read_epoch,
    read_tail,
    wall_ms,
)
from sync.edge.ledger.system_clock import system_clock
from sync.edge.ledger.writer import LedgerWriter, empty_the_log
from sync.errors import DecryptionFailed, StoreFailed
from sync.storage.change_signal import ChangeSignal
from sync.storage.encryption import KeyedCipher
from sync.storage.sqlite_thread import SqliteThread, store_failure

log = logging.getLogger(__name__)

# The write-ahead log must fit into the ballast: on a full disk it goes into the file before it can be used anew.
_WAL_PAGES = 50


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """State of the ledger; ages by the wall clock."""

    epoch: str
    last_seq: int
    unacknowledged: int  # without the parked ones
    earlier: int  # of them, those of earlier epochs, whose file was damaged
    parked: int  # refused for good, with a reason each
    oldest_age_s: float  # of the unacknowledged of this epoch; 0 when there are none
    used_bytes: int
    disk_full: bool
    set_aside: Path | None  # a damaged ledger found at start


@dataclass(slots=True)
class _Batch:
    """Records that wait for one commit together."""

    records: list[Record] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)  # filled by the commit
    last_seq: int = 0  # with the records that the commit may have added
    failed: StoreFailed | None = None


class Ledger:
    """Numbers are gap-free within an epoch; every append that returned survives a power cut.

    Appends that come while another commits go to the disk together. Over its budget, or over what a full disk gives,
    acknowledged rows go first, then the oldest passages become a gap record; alarms never go.
    Every deletion is put down.
    """

    def __init__(self, path: Path, store: SqliteThread, writer: LedgerWriter, epoch: str, last_seq: int) -> None:
        self.epoch = epoch
        self.last_seq = last_seq
        self.changes = ChangeSignal()  # appends, acknowledgements and parkings
        self._path = path
        self._store = store
        self._writer = writer
        self._forming = _Batch()
        self._committing = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        path: Path,
        *,
        box: str,
        budget_bytes: int,
        clock: Callable[[], Clock] = system_clock,
        cipher: KeyedCipher | None = None,
        shared: ThreadPoolExecutor | None = None,
    ) -> AsyncIterator[Self]:
        """The ledger of `box` at `path`, its bodies sealed by `cipher` (None: written as they are, for people who are
        not real); parked rows get another chance. Raises StoreFailed, of which WrongKey leaves the file as it is.

        A damaged file is set aside and a new epoch begins. What still waited in it, or in one that was renewed, is
        delivered under its old name; an alarm says how much that is, and a gap record what could not be read.
        """
        ballast = DiskReserve(path.with_suffix(".ballast"))
        async with AsyncExitStack() as stack:
            store = await _opened(stack, path, ballast, shared)
            row_cipher = await store.run(lambda db: RowCipher.for_writing(db, box, cipher))
            writer = LedgerWriter(row_cipher, budget_bytes, clock, ballast)
            await store.run(writer.begin)
            await store.run(lambda db: import_set_aside(db, path, writer, cipher))
            await store.write(outbox.unpark)
            epoch, tail = await store.run(lambda db: (read_epoch(db), read_tail(db, box)))
            yield cls(path, store, writer, epoch, tail.seq)

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
        self.changes.tell()
        return batch.numbers[first:last]

    async def alarm(self, kind: str, subject: str, detail: str) -> int:
        """Commit an alarm about the box itself; `subject` names a part, never a person. Raises StoreFailed."""
        return await self.append(self._writer.alarm(kind, subject, detail))

    async def unacknowledged(self, alarms: bool, after_seq: int = 0, limit: int = 100) -> list[Row]:
        """Rows that wait, alarms or all others, in order from `after_seq` (exclusive)."""
        return await self._store.run(
            lambda db: self._readable(db, lambda: outbox.in_order(db, alarms, after_seq, limit))
        )

    async def newest_unacknowledged(self, limit: int, after_seq: int = 0) -> list[Row]:
        """The newest rows that wait behind `after_seq`, without alarms, in order."""
        return await self._store.run(lambda db: self._readable(db, lambda: outbox.newest(db, after_seq, limit)))

    async def earlier_unacknowledged(self, limit: int) -> list[Row]:
        """Rows of one earlier epoch that wait, in order."""
        return await self._store.run(lambda db: self._readable(db, lambda: outbox.of_earlier_epochs(db, limit)))

    async def acknowledge(self, epoch: str, ranges: Iterable[tuple[int, int]], heads: Sequence[str | None] = ()) -> int:
        """Mark inclusive `ranges` of `epoch` as committed at the platform; returns how many rows that freed.

        A range frees nothing whose last record is not here with the hash in `heads`: it is of a copied card.
        """
        wanted = tuple(ranges)
        freed = await self._store.run(lambda db: self._acknowledge(db, epoch, wanted, heads))
        self.changes.tell()
        return freed

    async def forget(self, retention: Retention) -> None:
        """Delete what the platform has and is past its time, from the log and the free pages too; records say so.

        What is not acknowledged stays, however old. Raises StoreFailed: then it is tried again later.
        """
        while last_seq := await self._store.run(lambda db: self._writer.forget(db, retention)):
            self.last_seq = max(self.last_seq, last_seq)
            self.changes.tell()
        await self._store.run(empty_the_log)
        files = await self._store.run(lambda db: forget_recovered(db, self._path, retention.passages_s))
        if files:
            await self.note_deleted(files)

    async def note_deleted(self, counts: dict[str, int]) -> None:
        """Put down that other personal data went because of their age, by class. Raises StoreFailed."""
        await self.append(self._writer.deleted("retention", counts))

    async def owe_again(self, epoch: str, ranges: Iterable[tuple[int, int]]) -> int:
        """Take back the acknowledgement of `ranges`: the platform lost them; returns how many rows wait anew."""
        if epoch != self.epoch:
            return 0
        wanted = tuple(ranges)
        count = await self._store.write(lambda db: outbox.mark_unacknowledged(db, wanted))
        self.changes.tell()
        return count

    async def park(self, epoch: str, seq: int, reason: str) -> None:
        """Set a row aside that nobody will take, with the reason; it is kept and counted."""
        await self._store.write(lambda db: self._park(db, epoch, seq, reason))
        self.changes.tell()

    async def recent(self, limit: int) -> list[Row]:
        """The newest rows that can be read, acknowledged or not, newest first."""
        return await self._store.run(lambda db: self._decrypted(outbox.recent(db, limit))[0])

    async def status(self) -> LedgerStatus:
        """Counts as of now."""
        count = await self._store.run(outbox.count)
        return LedgerStatus(
            epoch=self.epoch,
            last_seq=self.last_seq,
            unacknowledged=count.own + count.earlier,
            earlier=count.earlier,
            parked=count.parked,
            oldest_age_s=max(0.0, (wall_ms() - count.oldest_ms) / 1000) if count.own else 0.0,
            used_bytes=count.used_bytes,
            disk_full=self._writer.disk_full,
            set_aside=self._store.set_aside,
        )

    async def touch(self) -> None:
        """Return as soon as the thread of the file is free."""
        await self._store.touch()

    def _readable(self, db: Database, find: Callable[[], list[Row]]) -> list[Row]:
        """The rows that `find` gives; those that cannot be read any more are parked, and the next take their place."""
        while found := find():
            whole, broken = self._decrypted(found)
            if broken:
                with db.atomic():
                    for row in broken:
                        self._park(db, *row.name, "box: cannot be read, it was changed on the disk")
            if whole:
                return whole
        return []

    def _decrypted(self, found: list[Row]) -> tuple[list[Row], list[Row]]:
        whole, broken = [], []
        for row in found:
            try:
                whole.append(self._writer.cipher.decrypt(row))
            except DecryptionFailed as exc:
                log.warning("record %s/%d: %s", *row.name, exc)
                broken.append(row)
        return whole, broken

    def _park(self, db: Database, epoch: str, seq: int, reason: str) -> None:
        if epoch == self.epoch:
            outbox.park(db, seq, reason[:200])
        else:
            outbox.park_earlier(db, epoch, seq, reason[:200])

    def _acknowledge(
        self, db: Database, epoch: str, ranges: Sequence[tuple[int, int]], heads: Sequence[str | None]
    ) -> int:
        named = zip_longest(ranges, heads[: len(ranges)])
        ours = [each for each, head in named if head is None or is_ours(db, epoch, each[1], bytes.fromhex(head))]
        if len(ours) < len(ranges):
            # Of records that we gave up meanwhile, which costs a repeat; or of a copied card, which must free nothing.
            log.warning("an acknowledgement that is not of our records frees none of them")
        if epoch == self.epoch:
            return self._writer.acknowledge(db, ours)
        with db.atomic():
            return outbox.forget_earlier(db, epoch, ours)

    def _commit(self, db: Database, batch: _Batch) -> None:
        if batch.numbers or batch.failed is not None or not batch.records:
            return
        try:
            numbers, batch.last_seq = self._writer.append(db, batch.records)
        except sqlite3.Error as exc:
            batch.failed = store_failure(exc)
        else:
            batch.numbers.extend(numbers)


async def _opened(
    stack: AsyncExitStack, path: Path, ballast: DiskReserve, shared: ThreadPoolExecutor | None
) -> SqliteThread:
    """The file; where there is no room even for opening it, with what the ballast gives."""
    try:
        return await stack.enter_async_context(
            SqliteThread.opened(path, LEDGER_MIGRATIONS, wal_pages=_WAL_PAGES, shared=shared)
        )
    except StoreFailed:
        if not ballast.release():
            raise
    return await stack.enter_async_context(
        SqliteThread.opened(path, LEDGER_MIGRATIONS, wal_pages=_WAL_PAGES, shared=shared)
    )
