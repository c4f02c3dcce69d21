"""Retention: deletes acknowledged records after their retention time and records the deletion."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlite_utils import Database

from sync.contract.records import AlarmRaised, Deleted, Gap, PassageClosed, PassageDecided
from sync.edge.ledger.schema import wall_ms

_CHUNK = 200  # rows of a kind in one transaction, so that commits of passages are not delayed
# Only acknowledged rows. The newest row stays, because the next hash covers it.
_DELETE = (
    "DELETE FROM record WHERE seq IN (SELECT seq FROM record WHERE acknowledged_ms IS NOT NULL AND kind = ?1"
    " AND {old} AND seq < (SELECT max(seq) FROM record) ORDER BY {order} LIMIT ?3)"
)
_FORGET = _DELETE.format(old="dated AND appended_ms < ?2", order="appended_ms")
# A row whose date is not by a clock in sync is at least as old as every later row.
_FORGET_UNDATED = _DELETE.format(
    old="NOT dated AND seq < (SELECT max(seq) FROM record WHERE dated AND appended_ms < ?2)", order="seq"
)


ACCOUNTS = (Gap.TYPE, Deleted.TYPE)  # records of losses and deletions


@dataclass(frozen=True, slots=True)
class Retention:
    """Retention time after a record was written, by class; unacknowledged records are kept until acknowledged."""

    passages_s: float
    alarms_s: float

    def kinds(self) -> dict[str, float]:
        """Retention time in seconds by kind of record; records of losses and deletions are kept as long as alarms."""
        passages = dict.fromkeys((PassageDecided.TYPE, PassageClosed.TYPE), self.passages_s)
        return passages | dict.fromkeys((AlarmRaised.TYPE, *ACCOUNTS), self.alarms_s)


def forget(db: Database, retention: Retention) -> Counter[str]:
    """Within the caller's transaction, delete some rows past their retention time; return the number by kind.

    Deleted records of losses and deletions are not counted: recording that would create new ones without end.
    """
    now_ms, deleted = wall_ms(), Counter[str]()
    for kind, kept_s in retention.kinds().items():
        limits = (kind, now_ms - 1000 * kept_s, _CHUNK)
        deleted[kind] = sum(db.conn.execute(delete, limits).rowcount for delete in (_FORGET_UNDATED, _FORGET))
    for account in ACCOUNTS:
        del deleted[account]
    return +deleted
