"""Puts records into the ledger, and makes room for them where there is none."""

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

_DROP_CHUNK = 50  # rows whose deletion fits into the ballast
_STEP_BYTES = 60_000  # as above, in bytes of the file
_ACKNOWLEDGE = (
    "UPDATE record SET acknowledged_ms = ?, parked = NULL WHERE seq BETWEEN ? AND ? AND acknowledged_ms IS NULL"
)
# The newest row stays: the next hash covers it.
_DROP = (
    "DELETE FROM record WHERE seq IN (SELECT seq FROM record WHERE seq BETWEEN ? AND ?"
    " AND seq < (SELECT max(seq) FROM record) ORDER BY seq LIMIT ?) RETURNING kind"
)
_CALM_S = 60.0  # a disk that was full is spared for so long before the whole budget is used again


class LedgerWriter:
    """Runs on the thread of the database; its methods raise sqlite3.Error, and have then written nothing.

    A full disk is a smaller budget: the ballast is let go, room is made in the declared order, and an alarm says so
    once. The ballast is taken back, and the budget restored, when the disk has been calm for a minute.
    """

    def __init__(self, cipher: RowCipher, budget_bytes: int, clock: Callable[[], Clock], ballast: DiskReserve) -> None:
        self.disk_full = False
        self.cipher = cipher
        self._budget_bytes = budget_bytes
        self._limit_bytes = budget_bytes
        self._clock = clock
        self._ballast = ballast
        self._full_s = 0.0  # monotonic second at which the disk was last found full
        self._alarm_due = False
        self._dropped = Counter[str]()  # by acknowledgements that could not be noted, and not yet put down

    def begin(self, db: Database) -> None:
        """Hold the ballast; where there is no room for it, the file must not grow from the start."""
        if not self._ballast.take():
            self._on_full(db)

    def append(self, db: Database, records: Sequence[Record]) -> tuple[list[int], int]:
        """Commit `records` in one transaction; returns their numbers and the last number given."""
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
        self._take_heart()
        return written

    def acknowledge(self, db: Database, ranges: Sequence[tuple[int, int]]) -> int:
        """Mark `ranges` as committed at the platform; returns how many were new.

        On a full disk, where nothing can be marked, they are dropped at once.
        """
        try:
            with db.atomic():
                now_ms = wall_ms()
                return sum(db.conn.execute(_ACKNOWLEDGE, (now_ms, first, last)).rowcount for first, last in ranges)
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
        self._let_go(db)
        dropped = sum((_drop(db, first, last) for first, last in ranges), Counter[str]())
        self._dropped += dropped
        self._ballast.take(at_once=True)
        return dropped.total()

    def forget(self, db: Database, retention: Retention) -> int:
        """Delete some of what is past its retention and put it down, in one transaction; returns the last number given.

        Zero when there is nothing more.
        """
        with db.atomic():
            gone = forget(db, retention)
            if not gone:
                return 0
            return insert(db, self.cipher, read_tail(db, self.cipher.box), self.deleted("retention", gone)).seq

    def now(self) -> Clock:
        """This instant, as records carry it."""
        return self._clock()

    def alarm(self, kind: str, subject: str, detail: str) -> AlarmRaised:
        """An alarm about the box itself."""
        return AlarmRaised(alarm_id=uuid.uuid4().hex, raised=self.now(), kind=kind, subject=subject, detail=detail)

    def deleted(self, why: str, counts: dict[str, int]) -> Deleted:
        """The account of a deletion."""
        return Deleted(noted=self.now(), why=why, counts=dict(counts))

    def _write(self, db: Database, records: Sequence[Record]) -> tuple[list[int], int]:
        with db.atomic():
            tail = read_tail(db, self.cipher.box)
            numbers = []
            for record in records:
                tail = insert(db, self.cipher, tail, record)
                numbers.append(tail.seq)
            alarms = [self.alarm("disk_full", "ledger", "oldest records make room")] if self._alarm_due else []
            room: list[Gap | Deleted] = []
            if used_bytes(db) > self._limit_bytes:
                room = make_room(db, headroom_below(self._limit_bytes), min(numbers, default=tail.seq), self._clock)
            dropped = [self.deleted("room", self._dropped)] if self._dropped else []
            added: list[Record] = [*alarms, *dropped, *room]
            for record in added:
                tail = insert(db, self.cipher, tail, record)
        return numbers, tail.seq

    def _on_full(self, db: Database) -> bool:
        """Make room with what the ballast gives; False where nothing may be given up."""
        self._let_go(db)
        limit_bytes = min(self._limit_bytes, headroom_below(file_bytes(db)))
        used = used_bytes(db)
        while used > limit_bytes:
            before, used = used, self._step_down(db, max(headroom_below(limit_bytes), used - _STEP_BYTES))
            if used >= before:
                break
        if used > limit_bytes:
            self._ballast.take(at_once=True)  # for the acknowledgements that will free us
            return False
        self._limit_bytes = limit_bytes
        return True

    def _step_down(self, db: Database, target: int) -> int:
        """Give up no more than the ballast has room for: deleted pages are written too. Returns the bytes in use."""
        with db.atomic():
            tail = read_tail(db, self.cipher.box)
            for account in make_room(db, target, tail.seq, self._clock):
                tail = insert(db, self.cipher, tail, account)
        empty_the_log(db)
        return used_bytes(db)

    def _let_go(self, db: Database) -> None:
        """Use the ballast to empty the write-ahead log, which is small enough for it."""
        self._ballast.release()
        if not self.disk_full:
            log.warning("the disk is full: the ledger makes room in the declared order")
            self.disk_full = self._alarm_due = True
        self._full_s = time.monotonic()
        empty_the_log(db)

    def _take_heart(self) -> None:
        if self.disk_full and time.monotonic() - self._full_s >= _CALM_S and self._ballast.take():
            log.warning("the disk has room again")
            self.disk_full = False
            self._limit_bytes = self._budget_bytes


def _drop(db: Database, first: int, last: int) -> Counter[str]:
    """Delete rows `first` to `last`, a few in a transaction; returns how many of each kind."""
    total = Counter[str]()
    while True:
        with db.atomic():
            dropped = [kind for (kind,) in db.conn.execute(_DROP, (first, last, _DROP_CHUNK)).fetchall()]
        if not dropped:
            return total
        total.update(dropped)
        empty_the_log(db)


def empty_the_log(db: Database) -> None:
    """Move all of the write-ahead log into the file, so that nothing deleted is left in it, if nobody reads it."""
    with contextlib.suppress(sqlite3.OperationalError):
        db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
