"""What the ledger forgets because it is old enough, and how the forgetting is put down."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlite_utils import Database

from sync.contract.records import AlarmRaised, Deleted, Gap, PassageClosed, PassageDecided
from sync.edge.ledger.schema import wall_ms

_CHUNK = 200  # rows of a kind in one transaction: commits of passages come between
# Only what the platform has committed. The newest row stays: the next hash covers it.
_FORGET = (
    "DELETE FROM record WHERE seq IN (SELECT seq FROM record WHERE acknowledged_ms IS NOT NULL AND kind = ?"
    " AND appended_ms < ? AND seq < (SELECT max(seq) FROM record) ORDER BY appended_ms LIMIT ?)"
)


ACCOUNTS = (Gap.TYPE, Deleted.TYPE)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long records are kept after they were written, by class; what was not acknowledged is kept for longer."""

    passages_s: float
    alarms_s: float

    def kinds(self) -> dict[str, float]:
        """Seconds by kind of record. What tells of losses and deletions is kept as alarms are."""
        passages = dict.fromkeys((PassageDecided.TYPE, PassageClosed.TYPE), self.passages_s)
        return passages | dict.fromkeys((AlarmRaised.TYPE, *ACCOUNTS), self.alarms_s)


def forget(db: Database, retention: Retention) -> Counter[str]:
    """Within the caller's transaction, delete some rows past their time; returns how many of each kind.

    Accounts of losses and deletions are not among them: to put their going down would never end.
    """
    now_ms, gone = wall_ms(), Counter[str]()
    for kind, kept_s in retention.kinds().items():
        gone[kind] = db.conn.execute(_FORGET, (kind, now_ms - 1000 * kept_s, _CHUNK)).rowcount
    for account in ACCOUNTS:
        del gone[account]
    return +gone
