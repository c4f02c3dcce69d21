"""Writes records to the ledger, and evicts older ones when space runs out."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence

from sqlite_utils import Database

from sync.contract.records import AlarmRaised, Clock, Deleted, Gap, Record
from sync.edge.ledger.disk_reserve import DiskReserve
from sync.edge.ledger.eviction import headroom_below, make_room
from sync.edge.ledger.retention import Retention, forget
from sync.edge.ledger.schema import RowCipher, file_bytes, insert, read_tail, used_bytes, wall_ms

log = logging.getLogger(__name__)

_DROP_CHUNK = 50  # rows whose deletion fits into the disk reserve
_STEP_BYTES = 60_000  # file size whose deletion fits into the disk reserve
_ACKNOWLEDGE = (
    "UPDATE record SET acknowledged_ms = ?, parked = NULL WHERE seq BETWEEN ? AND ? AND acknowledged_ms IS NULL"
)
# The newest row stays, because the next hash covers it.
_DROP = (
    "DELETE FROM record WHERE seq IN (SELECT seq FROM record WHERE seq BETWEEN ? AND ?"
    " AND seq < (SELECT max(seq) FROM record) ORDER BY seq LIMIT ?) RETURNING kind"
)
_CALM_S = 60.0  # time without a full disk after which the whole budget is used again


class LedgerWriter:
    """Runs on the thread of the database. Methods that raise sqlite3.Error have written nothing.

    A full disk acts as a smaller budget: the disk reserve is released, older records are evicted, and one alarm is
    raised. The reserve is taken again, and the budget restored, after a minute without a full disk.
    """

    def __init__(self, cipher: RowCipher, budget_bytes: int, clock: Callable[[], Clock], reserve: DiskReserve) -> None:
        self.disk_full = False
        self.cipher = cipher
        self._budget_bytes = budget_bytes
        self._limit_bytes = budget_bytes
        self._clock = clock
        self._reserve = reserve
        self._full_s = 0.0  # monotonic time at which the disk was last full
        self._alarm_due = False
        self._dropped = Counter[str]()  # rows dropped by `acknowledge` whose deletion is not recorded yet

    def begin(self, db: Database) -> None:
        """Take the disk reserve; without space for it the file must not grow from the start."""
        if not self._reserve.take():
            self._on_full(db)

    def append(self, db: Database, records: Sequence[Record]) -> tuple[list[int], int]:
        """Commit `records` in one transaction; return their numbers and the last number of the epoch."""
        try:
            written = self._write(db, records)
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            if not self._on_full(db):
                raise
            written = self._write(db, records)
        self._alarm_due = False
        self._dropped.clear()
        self._restore_budget()
        return written

    def acknowledge(self, db: Database, ranges: Sequence[tuple[int, int]]) -> int:
        """Mark `ranges` as committed at the platform; return how many rows were changed.

        On a full disk, where rows cannot be updated, they are deleted instead.
        """
        try:
            with db.atomic():
                now_ms = wall_ms()
                return sum(db.conn.execute(_ACKNOWLEDGE, (now_ms, first, last)).rowcount for first, last in ranges)
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
        self._release_reserve(db)
        dropped = sum((_drop(db, first, last) for first, last in ranges), Counter[str]())
        self._dropped += dropped
        self._reserve.take(at_once=True)
        return dropped.total()

    def forget(self, db: Database, retention: Retention) -> int:
        """Delete some rows past their retention time and record that, in one transaction.

        Returns the last number of the epoch, or 0 if nothing was deleted.
        """
        with db.atomic():
            counts = forget(db, retention)
            if not counts:
                return 0
            return insert(db, self.cipher, read_tail(db, self.cipher.box), self.deleted("retention", counts)).seq

    def now(self) -> Clock:
        """The current time as stored in records."""
        return self._clock()

    def alarm(self, kind: str, subject: str, detail: str) -> AlarmRaised:
        """Make an alarm about the box."""
        return AlarmRaised(alarm_id=uuid.uuid4().hex, raised=self.now(), kind=kind, subject=subject, detail=detail)

    def deleted(self, why: str, counts: dict[str, int]) -> Deleted:
        """Make the record of a deletion."""
        return Deleted(noted=self.now(), why=why, counts=dict(counts))

    def gone(self, epoch: str | None, first_seq: int, last_seq: int) -> Gap:
        """Make the record of numbers that the platform asks for and that are no longer stored."""
        lost = {"no_longer_stored": last_seq - first_seq + 1}
        return Gap(noted=self.now(), lost=lost, first_seq=first_seq, last_seq=last_seq, epoch=epoch)

    def _write(self, db: Database, records: Sequence[Record]) -> tuple[list[int], int]:
        with db.atomic():
            tail = read_tail(db, self.cipher.box)
            numbers = []
            for record in records:
                tail = insert(db, self.cipher, tail, record)
                numbers.append(tail.seq)
            alarms = [self.alarm("disk_full", "ledger", "the oldest records are evicted")] if self._alarm_due else []
            room: list[Gap | Deleted] = []
            if used_bytes(db) > self._limit_bytes:
                room = make_room(db, headroom_below(self._limit_bytes), min(numbers, default=tail.seq), self._clock)
            dropped = [self.deleted("room", self._dropped)] if self._dropped else []
            added: list[Record] = [*alarms, *dropped, *room]
            for record in added:
                tail = insert(db, self.cipher, tail, record)
        return numbers, tail.seq

    def _on_full(self, db: Database) -> bool:
        """Evict records with the space of the disk reserve; return False if nothing can be evicted."""
        self._release_reserve(db)
        limit_bytes = min(self._limit_bytes, headroom_below(file_bytes(db)))
        used = used_bytes(db)
        while used > limit_bytes:
            before, used = used, self._step_down(db, max(headroom_below(limit_bytes), used - _STEP_BYTES))
            if used >= before:
                break
        if used > limit_bytes:
            self._reserve.take(at_once=True)  # for the acknowledgements that will free space
            return False
        self._limit_bytes = limit_bytes
        return True

    def _step_down(self, db: Database, target: int) -> int:
        """Evict no more than fits into the disk reserve, because deletion writes pages; return the bytes in use."""
        with db.atomic():
            tail = read_tail(db, self.cipher.box)
            for account in make_room(db, target, tail.seq, self._clock):
                tail = insert(db, self.cipher, tail, account)
        truncate_wal(db)
        return used_bytes(db)

    def _release_reserve(self, db: Database) -> None:
        """Release the disk reserve and use its space to checkpoint the write-ahead log, which fits into it."""
        self._reserve.release()
        if not self.disk_full:
            log.warning("disk full: the ledger evicts acknowledged records, then the oldest passages")
            self.disk_full = self._alarm_due = True
        self._full_s = time.monotonic()
        truncate_wal(db)

    def _restore_budget(self) -> None:
        if self.disk_full and time.monotonic() - self._full_s >= _CALM_S and self._reserve.take():
            log.warning("disk space is available again")
            self.disk_full = False
            self._limit_bytes = self._budget_bytes


def _drop(db: Database, first: int, last: int) -> Counter[str]:
    """Delete rows `first` to `last`, a few in a transaction; return the number by kind."""
    total = Counter[str]()
    while True:
        with db.atomic():
            dropped = [kind for (kind,) in db.conn.execute(_DROP, (first, last, _DROP_CHUNK)).fetchall()]
        if not dropped:
            return total
        total.update(dropped)
        truncate_wal(db)


def truncate_wal(db: Database) -> None:
    """Checkpoint and truncate the write-ahead log, so that it contains no deleted data; a reader can prevent it."""
    with contextlib.suppress(sqlite3.OperationalError):
        db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
