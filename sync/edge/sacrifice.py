"""What a full ledger gives up, in the declared order: acknowledged rows, then the oldest passages; alarms never."""

from __future__ import annotations

from collections.abc import Callable

from sqlite_utils import Database

from sync.contract.records import Clock, Gap
from sync.edge.ledger_file import insert, used_bytes

_CHUNK = 100
# Below the budget, so that a full store writes a gap record once in a while and not at each append.
_TARGET = 0.9


def make_room(db: Database, budget_bytes: int, before_seq: int, clock: Callable[[], Clock]) -> int | None:
    """Within the caller's transaction, bring the ledger below its budget; rows from `before_seq` on are untouched.

    Returns the number of the gap record written for unacknowledged passages given up, or None when nothing was lost.
    Where only alarms are left the budget is overrun.
    """
    if used_bytes(db) <= budget_bytes:
        return None
    target = int(budget_bytes * _TARGET)
    while used_bytes(db) > target and _drop_acknowledged(db, before_seq):
        pass
    lost: dict[str, int] = {}
    numbers: list[int] = []
    while used_bytes(db) > target and (given_up := _drop_passages(db, before_seq)):
        for seq, kind in given_up:
            lost[kind] = lost.get(kind, 0) + 1
            numbers.append(seq)
    if not lost:
        return None
    return insert(db, Gap(noted=clock(), lost=lost, first_seq=min(numbers), last_seq=max(numbers)))


def _drop_acknowledged(db: Database, before_seq: int) -> int:
    return db.conn.execute(
        "DELETE FROM record WHERE seq IN "
        "(SELECT seq FROM record WHERE acknowledged_ms IS NOT NULL AND seq < ? ORDER BY seq LIMIT ?)",
        (before_seq, _CHUNK),
    ).rowcount


def _drop_passages(db: Database, before_seq: int) -> list[tuple[int, str]]:
    return db.conn.execute(
        "DELETE FROM record WHERE seq IN "
        "(SELECT seq FROM record WHERE alarm = 0 AND kind != ? AND acknowledged_ms IS NULL AND seq < ?"
        " ORDER BY seq LIMIT ?) RETURNING seq, kind",
        (Gap.TYPE, before_seq, _CHUNK),
    ).fetchall()
