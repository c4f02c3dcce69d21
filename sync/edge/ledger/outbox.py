"""The outbox: queries on the records of a ledger that the platform has not acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlite_utils import Database

from sync.edge.ledger.schema import Row, rows, used_bytes

Ranges = Iterable[tuple[int, int]]

_PENDING = (
    "SELECT epoch, seq, kind, body, appended_ms, chain FROM waiting WHERE alarm = ? AND seq > ? ORDER BY seq LIMIT ?"
)
_PENDING_NEWEST = (
    "SELECT epoch, seq, kind, body, appended_ms, chain FROM waiting WHERE alarm = 0 AND seq > ?"
    " ORDER BY seq DESC LIMIT ?"
)
_PENDING_EARLIER = (
    "SELECT epoch, seq, kind, body, appended_ms, chain FROM earlier WHERE parked IS NULL"
    " AND epoch = (SELECT min(epoch) FROM earlier WHERE parked IS NULL) ORDER BY seq LIMIT ?"
)
_NEWEST = "SELECT (SELECT epoch FROM ledger), seq, kind, body, appended_ms, chain FROM record ORDER BY seq DESC LIMIT ?"
_FORGET_EARLIER = "DELETE FROM earlier WHERE epoch = ? AND seq BETWEEN ? AND ?"
_PARK = "UPDATE record SET parked = ? WHERE seq = ? AND acknowledged_ms IS NULL"
_MARK_UNACKNOWLEDGED = (
    "UPDATE record SET acknowledged_ms = NULL WHERE seq BETWEEN ? AND ? AND acknowledged_ms IS NOT NULL"
)
_PARK_EARLIER = "UPDATE earlier SET parked = ? WHERE seq = ? AND epoch = ?"
UNREADABLE = "box: cannot be decrypted, it was changed on the disk"  # the reason of a parking that is reported
_UNPARK = (
    "UPDATE record SET parked = NULL WHERE parked IS NOT NULL AND parked <> ?",
    "UPDATE earlier SET parked = NULL WHERE parked IS NOT NULL AND parked <> ?",
)
_UNREADABLE = (
    "SELECT (SELECT epoch FROM ledger), seq, kind, body, appended_ms, chain FROM record WHERE parked = ?",
    "SELECT epoch, seq, kind, body, appended_ms, chain FROM earlier WHERE parked = ?",
)
_UNPARK_ROW = (
    "UPDATE record SET parked = NULL WHERE seq = ? AND (SELECT epoch FROM ledger) = ?",
    "UPDATE earlier SET parked = NULL WHERE seq = ? AND epoch = ?",
)
_OLDEST = (
    "SELECT min(appended_ms) FROM record WHERE seq IN"
    " ((SELECT min(seq) FROM waiting WHERE alarm = 0), (SELECT min(seq) FROM waiting WHERE alarm = 1))"
)


@dataclass(frozen=True, slots=True)
class Count:
    """Number of unacknowledged records; `oldest_ms` is 0 if there are none of this epoch."""

    own: int  # of this epoch
    earlier: int  # of earlier epochs
    parked: int
    oldest_ms: int
    used_bytes: int


def in_order(db: Database, alarms: bool, after_seq: int, limit: int) -> list[Row]:
    """Unacknowledged rows after `after_seq`, in order: only alarms, or all other kinds."""
    return rows(db, _PENDING, alarms, after_seq, limit)


def newest(db: Database, after_seq: int, limit: int) -> list[Row]:
    """The newest unacknowledged rows after `after_seq`, without alarms, in order."""
    return rows(db, _PENDING_NEWEST, after_seq, limit)[::-1]


def of_earlier_epochs(db: Database, limit: int) -> list[Row]:
    """Unacknowledged rows of one earlier epoch, in order."""
    return rows(db, _PENDING_EARLIER, limit)


def recent(db: Database, limit: int) -> list[Row]:
    """The newest rows, acknowledged or not, newest first."""
    return rows(db, _NEWEST, limit)


def mark_unacknowledged(db: Database, ranges: Ranges) -> int:
    """Withdraw the acknowledgement of `ranges`; return the number of rows changed."""
    return sum(db.conn.execute(_MARK_UNACKNOWLEDGED, each).rowcount for each in ranges)


def forget_earlier(db: Database, epoch: str, ranges: Ranges) -> int:
    """Delete acknowledged rows of an earlier epoch; return how many."""
    return sum(db.conn.execute(_FORGET_EARLIER, (epoch, first, last)).rowcount for first, last in ranges)


def park(db: Database, seq: int, reason: str) -> None:
    """Exclude a rejected row of this epoch from sending."""
    db.conn.execute(_PARK, (reason, seq))


def park_earlier(db: Database, epoch: str, seq: int, reason: str) -> None:
    """Exclude a rejected row of an earlier epoch from sending."""
    db.conn.execute(_PARK_EARLIER, (reason, seq, epoch))


def unpark(db: Database, is_readable: Callable[[Row], bool]) -> None:
    """Include all parked rows in sending again, except those that are still unreadable."""
    for each in _UNPARK:
        db.conn.execute(each, (UNREADABLE,))
    for each in _UNREADABLE:
        for row in rows(db, each, UNREADABLE):
            if is_readable(row):
                for update in _UNPARK_ROW:
                    db.conn.execute(update, (row.seq, row.epoch))


def any_waiting(db: Database) -> bool:
    """Whether a record waits to be sent."""
    found = db.conn.execute(
        "SELECT EXISTS (SELECT 1 FROM waiting) OR EXISTS (SELECT 1 FROM earlier WHERE parked IS NULL)"
    )
    return bool(found.fetchone()[0])


def count(db: Database) -> Count:
    """Count the unacknowledged records."""

    def number(select: str) -> int:
        return int(db.conn.execute(select).fetchone()[0] or 0)

    return Count(
        own=number("SELECT count(*) FROM waiting"),
        earlier=number("SELECT count(*) FROM earlier WHERE parked IS NULL"),
        parked=number("SELECT count(*) FROM record WHERE parked IS NOT NULL")
        + number("SELECT count(*) FROM earlier WHERE parked IS NOT NULL"),
        oldest_ms=number(_OLDEST),
        used_bytes=used_bytes(db),
    )
