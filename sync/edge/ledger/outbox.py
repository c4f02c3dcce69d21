"""What of the ledger still waits for the platform: read, freed, put aside and counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlite_utils import Database

from sync.edge.ledger.schema import Row, rows, used_bytes

Ranges = Iterable[tuple[int, int]]

_WAITING = (
    "SELECT epoch, seq, kind, body, appended_ms, chain FROM waiting WHERE alarm = ? AND seq > ? ORDER BY seq LIMIT ?"
)
_WAITING_NEWEST = (
    "SELECT epoch, seq, kind, body, appended_ms, chain FROM waiting WHERE alarm = 0 AND seq > ?"
    " ORDER BY seq DESC LIMIT ?"
)
_WAITING_EARLIER = (
    "SELECT epoch, seq, kind, body, appended_ms, chain FROM earlier WHERE parked IS NULL"
    " AND epoch = (SELECT min(epoch) FROM earlier WHERE parked IS NULL) ORDER BY seq LIMIT ?"
)
_NEWEST = "SELECT (SELECT epoch FROM ledger), seq, kind, body, appended_ms, chain FROM record ORDER BY seq DESC LIMIT ?"
_FORGET_EARLIER = "DELETE FROM earlier WHERE epoch = ? AND seq BETWEEN ? AND ?"
_PARK = "UPDATE record SET parked = ? WHERE seq = ? AND acknowledged_ms IS NULL"
_OWE_AGAIN = "UPDATE record SET acknowledged_ms = NULL WHERE seq BETWEEN ? AND ? AND acknowledged_ms IS NOT NULL"
_PARK_EARLIER = "UPDATE earlier SET parked = ? WHERE seq = ? AND epoch = ?"
_UNPARK = (
    "UPDATE record SET parked = NULL WHERE parked IS NOT NULL",
    "UPDATE earlier SET parked = NULL WHERE parked IS NOT NULL",
)
_OLDEST = (
    "SELECT min(appended_ms) FROM record WHERE seq IN"
    " ((SELECT min(seq) FROM waiting WHERE alarm = 0), (SELECT min(seq) FROM waiting WHERE alarm = 1))"
)


@dataclass(frozen=True, slots=True)
class Count:
    """How much waits; `oldest_ms` is 0 when nothing of this epoch does."""

    own: int
    earlier: int
    parked: int
    oldest_ms: int
    used_bytes: int


def in_order(db: Database, alarms: bool, after_seq: int, limit: int) -> list[Row]:
    """Alarms or all others behind `after_seq`, in order."""
    return rows(db, _WAITING, alarms, after_seq, limit)


def newest(db: Database, after_seq: int, limit: int) -> list[Row]:
    """The newest behind `after_seq` without alarms, in order."""
    return rows(db, _WAITING_NEWEST, after_seq, limit)[::-1]


def of_earlier_epochs(db: Database, limit: int) -> list[Row]:
    """Of one earlier epoch, in order."""
    return rows(db, _WAITING_EARLIER, limit)


def recent(db: Database, limit: int) -> list[Row]:
    """All there are, waiting or not, the newest first."""
    return rows(db, _NEWEST, limit)


def mark_unacknowledged(db: Database, ranges: Ranges) -> int:
    """Let what was acknowledged wait anew; returns how many."""
    return sum(db.conn.execute(_OWE_AGAIN, each).rowcount for each in ranges)


def forget_earlier(db: Database, epoch: str, ranges: Ranges) -> int:
    """Drop what the platform has of an earlier epoch; returns how many."""
    return sum(db.conn.execute(_FORGET_EARLIER, (epoch, first, last)).rowcount for first, last in ranges)


def park(db: Database, seq: int, reason: str) -> None:
    """Put aside what nobody will take."""
    db.conn.execute(_PARK, (reason, seq))


def park_earlier(db: Database, epoch: str, seq: int, reason: str) -> None:
    """The same in an earlier epoch."""
    db.conn.execute(_PARK_EARLIER, (reason, seq, epoch))


def unpark(db: Database) -> None:
    """Give what was put aside another chance."""
    for each in _UNPARK:
        db.conn.execute(each)


def count(db: Database) -> Count:
    """All of it as of now."""

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
