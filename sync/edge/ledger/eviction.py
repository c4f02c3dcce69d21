"""Eviction from a full ledger: first acknowledged rows, then the oldest passages.

Alarms and the records of losses and deletions are never evicted before they are acknowledged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import groupby

from sqlite_utils import Database

from sync.contract.records import AlarmRaised, Clock, Deleted, Gap
from sync.edge.ledger.retention import ACCOUNTS
from sync.edge.ledger.schema import used_bytes

_CHUNK = 100
_ROOM_BYTES = 256_000
_ROOM_SHARE = 0.1

EvictedRecord = tuple[str | None, int, str]  # earlier epoch (None: the current one), number, kind


def headroom_below(limit_bytes: int) -> int:
    """Target size below the limit, so that a full ledger does not evict at every append."""
    return limit_bytes - min(_ROOM_BYTES, int(limit_bytes * _ROOM_SHARE))


def make_room(db: Database, target: int, before_seq: int, clock: Callable[[], Clock]) -> list[Gap | Deleted]:
    """Within the caller's transaction, shrink the ledger to `target` bytes; rows from `before_seq` on are not touched.

    Returns the records to append: counts of the acknowledged rows that were deleted, and gaps for the passages that
    were evicted. If only alarms are left the target is not reached.
    """
    counts = Counter[str]()
    while used_bytes(db) > target and (dropped := _drop_acknowledged(db, before_seq)):
        counts.update(dropped)
    lost: list[EvictedRecord] = []
    while used_bytes(db) > target and (evicted := _drop_earlier(db) or _drop_passages(db, before_seq)):
        lost += evicted
    deleted = [Deleted(noted=clock(), why="room", counts=counts)] if counts else []
    gaps = [
        _gap(epoch, list(group), clock())
        for epoch, group in groupby(sorted(lost, key=lambda row: (row[0] or "", row[1])), key=lambda row: row[0])
    ]
    return [*deleted, *gaps]


def _gap(epoch: str | None, evicted: Iterable[EvictedRecord], noted: Clock) -> Gap:
    kinds = [kind for _, _, kind in evicted]
    numbers = [seq for _, seq, _ in evicted]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    return Gap(noted=noted, lost=counts, first_seq=min(numbers), last_seq=max(numbers), epoch=epoch)


def _drop_acknowledged(db: Database, before_seq: int) -> list[str]:
    return [
        kind
        for (kind,) in db.conn.execute(
            "DELETE FROM record WHERE seq IN "
            "(SELECT seq FROM record WHERE acknowledged_ms IS NOT NULL AND seq < ? ORDER BY seq LIMIT ?)"
            " RETURNING kind",
            (before_seq, _CHUNK),
        ).fetchall()
    ]


def _drop_earlier(db: Database) -> list[EvictedRecord]:
    return [
        (epoch, seq, kind)
        for epoch, seq, kind in db.conn.execute(
            "DELETE FROM earlier WHERE (epoch, seq) IN "
            "(SELECT epoch, seq FROM earlier WHERE kind NOT IN (?, ?, ?) ORDER BY epoch, seq LIMIT ?)"
            " RETURNING epoch, seq, kind",
            (AlarmRaised.TYPE, *ACCOUNTS, _CHUNK),
        ).fetchall()
    ]


def _drop_passages(db: Database, before_seq: int) -> list[EvictedRecord]:
    return [
        (None, seq, kind)
        for seq, kind in db.conn.execute(
            "DELETE FROM record WHERE seq IN "
            "(SELECT seq FROM record WHERE alarm = 0 AND kind NOT IN (?, ?) AND acknowledged_ms IS NULL AND seq < ?"
            " ORDER BY seq LIMIT ?) RETURNING seq, kind",
            (*ACCOUNTS, before_seq, _CHUNK),
        ).fetchall()
    ]
