"""The durable ledger of the box. Its unacknowledged records are the outbox."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Self

from sqlite_utils import Database

from sync.contract.messages import EpochEnd
from sync.contract.records import Clock, Record
from sync.edge.ledger import outbox
from sync.edge.ledger.disk_reserve import DiskReserve
from sync.edge.ledger.epoch_ends import gone_from_current, note_ends, read_ends, recall
from sync.edge.ledger.recovery import forget_recovered, import_set_aside, report_files, unreadable_report
from sync.edge.ledger.retention import Retention
from sync.edge.ledger.schema import (
    LEDGER_MIGRATIONS,
    Row,
    RowCipher,
    check_tail,
    is_ours,
    ledger_state,
    read_epoch,
    read_tail,
    wall_ms,
)
from sync.edge.ledger.system_clock import system_clock
from sync.edge.ledger.writer import LedgerWriter, truncate_wal
from sync.errors import DecryptionFailed, StoreFailed
from sync.storage.change_signal import ChangeSignal
from sync.storage.encryption import KeyedCipher, load_cipher
from sync.storage.sqlite_thread import SqliteThread, store_failure

log = logging.getLogger(__name__)

_GONE_KEPT = 10_000  # ranges remembered, so that each is reported once
# The write-ahead log must fit into the disk reserve: on a full disk it is checkpointed before it can be reused.
_WAL_PAGES = 50


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """State of the ledger; ages by the wall clock."""

    epoch: str
    last_seq: int
    unacknowledged: int  # without the parked ones
    earlier: int  # the part of them that belongs to earlier epochs
    parked: int  # rejected permanently, each with a reason
    oldest_age_s: float  # of the unacknowledged records of this epoch; 0 if there are none
    used_bytes: int
    disk_full: bool
    set_aside: Path | None  # a damaged ledger that was renamed at start


@dataclass(slots=True)
class _Batch:
    """Records that are committed together."""

    records: list[Record] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)  # filled by the commit
    last_seq: int = 0  # including records that the commit added
    failed: StoreFailed | None = None


class Ledger:
    """Append-only records with gap-free numbers within an epoch; every append that returned survives a power cut.

    Appends that arrive during a commit are committed together. When the ledger exceeds its budget, or the disk is full,
    acknowledged rows are deleted first, then the oldest passages are replaced by a gap record; unacknowledged alarms
    are never evicted. Every deletion is recorded.
    """

    def __init__(
        self,
        path: Path,
        store: SqliteThread,
        writer: LedgerWriter,
        epoch: str,
        last_seq: int,
        cipher: KeyedCipher | None = None,
    ) -> None:
        self.epoch = epoch
        self.last_seq = last_seq
        self.changes = ChangeSignal()  # appends, acknowledgements and parkings
        self._path = path
        self._store = store
        self._writer = writer
        self._cipher = cipher
        self._reported_gone: set[tuple[str, int, int]] = set()  # ranges that a gap record of this run reports
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
        """Open the ledger of `box` at `path`, its bodies encrypted by `cipher` (None: plaintext, for simulations).

        Parked rows are sent again. A file that is damaged, emptied or missing is set aside and a new epoch begins.
        Pending records of that file, or of one from before `start_new_epoch`, are delivered under their old epoch and
        number; an alarm reports how many, and a gap record the ones that could not be read. Raises StoreFailed, and
        WrongKey without changing the file.
        """
        reserve = DiskReserve(path.with_suffix(".ballast"))
        async with AsyncExitStack() as stack:
            store = await _open(stack, path, reserve, cipher, shared)
            row_cipher = await store.run(lambda db: RowCipher.for_writing(db, box, cipher))
            writer = LedgerWriter(row_cipher, budget_bytes, clock, reserve)
            await store.run(writer.begin)
            await store.run(lambda db: import_set_aside(db, path, writer, cipher))
            await store.run(lambda db: note_ends(db, path))
            await store.write(lambda db: outbox.unpark(db, row_cipher.can_decrypt))
            epoch, tail = await store.run(lambda db: (read_epoch(db), read_tail(db, box)))
            yield cls(path, store, writer, epoch, tail.seq, cipher)

    async def append(self, record: Record) -> int:
        """Commit `record`; return its number once it is on the disk. Raises StoreFailed; it is not stored then."""
        [seq] = await self.append_all([record])
        return seq

    async def append_all(self, records: Iterable[Record]) -> list[int]:
        """Commit all `records` in one transaction; return their consecutive numbers. Raises StoreFailed."""
        batch = self._forming
        first = len(batch.records)
        batch.records.extend(records)
        last = len(batch.records)
        async with self._committing:
            if self._forming is batch:
                self._forming = _Batch()
            # The commit of a cancelled caller may still be running; a batch is committed only once.
            await self._store.run(lambda db: self._commit(db, batch))
        if batch.failed is not None:
            raise batch.failed
        self.last_seq = max(self.last_seq, batch.last_seq)
        self.changes.notify()
        return batch.numbers[first:last]

    async def alarm(self, kind: str, subject: str, detail: str) -> int:
        """Commit an alarm about the box; `subject` names a part, never a person. Raises StoreFailed."""
        return await self.append(self._writer.alarm(kind, subject, detail))

    async def unacknowledged(self, alarms: bool, after_seq: int = 0, limit: int = 100) -> list[Row]:
        """Unacknowledged rows after `after_seq`, in order: only alarms, or all other kinds."""
        return await self._read(lambda db: outbox.in_order(db, alarms, after_seq, limit))

    async def newest_unacknowledged(self, limit: int, after_seq: int = 0) -> list[Row]:
        """The newest unacknowledged rows after `after_seq`, without alarms, in order."""
        return await self._read(lambda db: outbox.newest(db, after_seq, limit))

    async def earlier_unacknowledged(self, limit: int) -> list[Row]:
        """Unacknowledged rows of one earlier epoch, in order."""
        return await self._read(lambda db: outbox.of_earlier_epochs(db, limit))

    async def acknowledge(self, epoch: str, ranges: Iterable[tuple[int, int]], heads: Sequence[str | None] = ()) -> int:
        """Mark inclusive `ranges` of `epoch` as committed at the platform; return the number of rows affected.

        A range is ignored if the hash of its last record differs from `heads`: it was written by a clone of this box.
        """
        listed = tuple(ranges)
        marked = await self._store.run(lambda db: self._acknowledge(db, epoch, listed, heads))
        self.changes.notify()
        return marked

    async def forget(self, retention: Retention) -> None:
        """Delete what the platform has and is past its time, from the log and the free pages too; records say so.

        What is not acknowledged stays, however old. Raises StoreFailed: then it is tried again later.
        """
        while last_seq := await self._store.run(lambda db: self._writer.forget(db, retention)):
            self.last_seq = max(self.last_seq, last_seq)
            self.changes.notify()
        await self._store.run(truncate_wal)
        files = await self._store.run(lambda db: forget_recovered(db, self._path, retention.passages_s))
        if files:
            await self.note_deleted(files)

    async def report_set_aside(self, others: Iterable[Path]) -> None:
        """Raise an alarm, once, for each damaged file of the databases `others`, which are in the ledger's folder.

        `forget` deletes these files like those of the ledger.
        """
        paths = tuple(others)
        last_seq = await self._store.run(lambda db: report_files(db, paths, self._writer))
        self.last_seq = max(self.last_seq, last_seq)

    async def note_deleted(self, counts: dict[str, int]) -> None:
        """Record that other personal data were deleted because of their age, by class. Raises StoreFailed."""
        await self.append(self._writer.deleted("retention", counts))

    async def send_again(self, epoch: str, ranges: Iterable[tuple[int, int]]) -> None:
        """Make `ranges`, which the platform lacks, pending again; a gap record reports what is no longer stored.

        Raises StoreFailed.
        """
        listed = tuple(ranges)
        gone = await self._store.run(lambda db: self._send_again(db, epoch, listed))
        new = [(first, last) for first, last in gone if (epoch, first, last) not in self._reported_gone]
        if new:
            earlier = None if epoch == self.epoch else epoch
            await self.append_all(self._writer.gone(earlier, first, last) for first, last in new)
            if len(self._reported_gone) > _GONE_KEPT:
                self._reported_gone.clear()
            self._reported_gone.update((epoch, first, last) for first, last in new)
        self.changes.notify()

    async def ends(self) -> tuple[EpochEnd, ...]:
        """The ends of the current epoch and of the newest earlier ones, and what waits of each."""
        return await self._store.run(lambda db: read_ends(db, self._writer.cipher.box))

    async def is_drained(self) -> bool:
        """Whether no record waits."""
        return not await self._store.run(outbox.any_waiting)

    async def park(self, epoch: str, seq: int, reason: str) -> None:
        """Exclude a rejected row from sending, with the reason; it stays stored and is counted."""
        await self._store.write(lambda db: self._park(db, epoch, seq, reason))
        self.changes.notify()

    async def recent(self, limit: int) -> list[Row]:
        """The newest readable rows, acknowledged or not, newest first."""
        return await self._store.run(lambda db: self._decrypted(outbox.recent(db, limit))[0])

    async def status(self) -> LedgerStatus:
        """The current state."""
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
        """Return when the thread of the file is free."""
        await self._store.touch()

    def _send_again(self, db: Database, epoch: str, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Make rows pending again; return the numbers that this box no longer has."""
        if epoch != self.epoch:
            return recall(db, self._path, self._writer.cipher, self._cipher, epoch, ranges)
        with db.atomic():
            outbox.mark_unacknowledged(db, ranges)
        return gone_from_current(db, ranges, self.last_seq)

    async def _read(self, find: Callable[[Database], list[Row]]) -> list[Row]:
        """The decrypted rows of `find`; unreadable rows are parked, reported and replaced by the next ones."""
        found, last_seq = await self._store.run(lambda db: self._readable(db, find))
        if last_seq > self.last_seq:
            self.last_seq = last_seq
            self.changes.notify()
        return found

    def _readable(self, db: Database, find: Callable[[Database], list[Row]]) -> tuple[list[Row], int]:
        """The rows, and the last number of the epoch if rows were parked."""
        last_seq = 0
        while found := find(db):
            whole, broken = self._decrypted(found)
            if broken:
                last_seq = self._park_unreadable(db, broken)
            if whole:
                return whole, last_seq
        return [], last_seq

    def _park_unreadable(self, db: Database, broken: list[Row]) -> int:
        with db.atomic():
            for row in broken:
                self._park(db, *row.name, outbox.UNREADABLE)
        try:
            return self._writer.append(db, unreadable_report(self._writer, [row.name for row in broken]))[1]
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            log.warning("disk full: %d unreadable records are parked and not reported", len(broken))
            return 0

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
            # Either the records were evicted meanwhile, or a clone of this box wrote them.
            log.warning("ignoring an acknowledgement for records this box did not write")
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
            self._store.note_damage(exc)
            batch.failed = store_failure(exc)
        else:
            batch.numbers.extend(numbers)


async def _open(
    stack: AsyncExitStack,
    path: Path,
    reserve: DiskReserve,
    cipher: KeyedCipher | None,
    shared: ThreadPoolExecutor | None,
) -> SqliteThread:
    """Open the file; if the disk is too full for that, release the disk reserve and try again."""

    def check(db: Database) -> None:
        load_cipher(db.conn, cipher)
        check_tail(db)

    def opened() -> AbstractAsyncContextManager[SqliteThread]:
        return SqliteThread.opened(
            path, LEDGER_MIGRATIONS, wal_pages=_WAL_PAGES, shared=shared, state=ledger_state, check=check
        )

    try:
        return await stack.enter_async_context(opened())
    except StoreFailed:
        if not reserve.release():
            raise
    return await stack.enter_async_context(opened())
