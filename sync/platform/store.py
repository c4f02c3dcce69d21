"""The platform's records: each (box, epoch, seq) once, whatever comes twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlite_utils import Database, Migrations

from sync.contract.records import (
    RECORD_TYPES,
    AlarmRaised,
    Gap,
    PassageClosed,
    PassageDecided,
    Record,
    RecordId,
    decode_record,
)
from sync.errors import BadMessage
from sync.sqlite_thread import SqliteThread

RECORD_MIGRATIONS = Migrations("records")

_INSERT = "INSERT OR IGNORE INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_TWICE = (
    "SELECT coalesce(sum(n - 1), 0) FROM"
    " (SELECT count(*) AS n FROM record WHERE subject IS NOT NULL GROUP BY kind, subject)"
)
_VERDICTS = (
    "SELECT box, verdict, count(*) FROM record WHERE happened_ms >= ? AND verdict IS NOT NULL GROUP BY box, verdict"
)
_REASONS = (
    "SELECT verdict, json_extract(CAST(body AS TEXT), '$.reasons[0]'), count(*)"
    " FROM record WHERE verdict IS NOT NULL GROUP BY 1, 2"
)
_ALARMS = "SELECT box, body FROM record WHERE kind = ? ORDER BY happened_ms DESC LIMIT ?"


@RECORD_MIGRATIONS()
def create(db: Database) -> None:
    """Records by name, what the fleet page asks of them, and how many repeats were ignored."""
    db.conn.execute(
        """
        CREATE TABLE record (
            box TEXT NOT NULL,
            epoch TEXT NOT NULL,
            seq INTEGER NOT NULL,
            kind TEXT NOT NULL,
            subject TEXT,
            verdict TEXT,
            happened_ms INTEGER NOT NULL,
            received_ms INTEGER NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (box, epoch, seq)
        )
        """
    )
    db.conn.execute("CREATE INDEX record_subject ON record (kind, subject)")
    db.conn.execute("CREATE INDEX record_happened ON record (happened_ms)")
    db.conn.execute("CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID")
    db.conn.execute("INSERT INTO counter VALUES ('redelivered', 0)")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record as it came, with what the fleet page asks of it; a kind unknown to this platform is kept as it is."""

    name: RecordId
    kind: str
    subject: str | None
    verdict: str | None
    happened_ms: int
    received_ms: int
    body: bytes = field(repr=False)

    @classmethod
    def read(cls, name: RecordId, kind: str, time: datetime, received: datetime, body: bytes) -> Arrival:
        """The record `name` in `body`; raises BadMessage when it is of a known kind and not valid."""
        subject, verdict = _index(kind, body)
        return cls(name, kind, subject, verdict, _ms(time), _ms(received), body)

    def row(self) -> tuple[Any, ...]:
        name = self.name
        return (
            *(name.box, name.epoch, name.seq, self.kind, self.subject),
            *(self.verdict, self.happened_ms, self.received_ms, self.body),
        )


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over all that is stored."""

    kinds: dict[str, int]
    boxes: dict[str, tuple[int, datetime]]  # records and the time the last one came, by box
    verdicts_today: dict[str, dict[str, int]]  # by box and verdict
    reasons: dict[str, dict[str, int]]  # by verdict and its first reason
    duplicates: int  # effects stored twice: must be 0
    redelivered: int  # repeats ignored
    alarms: list[tuple[str, AlarmRaised]]  # newest first, with their box


class RecordStore:
    """Records of all boxes in one SQLite file."""

    def __init__(self, store: SqliteThread) -> None:
        self._store = store

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path) -> AsyncIterator[RecordStore]:
        async with SqliteThread.opened(path, RECORD_MIGRATIONS) as store:
            yield cls(store)

    async def insert(self, arrivals: Sequence[Arrival]) -> int:
        """Commit `arrivals` in one transaction; returns how many were new. Raises StoreFailed: then none is stored."""
        return await self._store.write(lambda db: _insert(db, arrivals))

    async def totals(self, since: datetime, alarms: int) -> Totals:
        """Counts, verdicts since `since`, and the newest `alarms` alarms."""
        return await self._store.run(lambda db: _totals(db, _ms(since), alarms))


def _insert(db: Database, arrivals: Sequence[Arrival]) -> int:
    before = db.conn.total_changes
    db.conn.executemany(_INSERT, [arrival.row() for arrival in arrivals])
    new = db.conn.total_changes - before
    if new < len(arrivals):
        repeats = len(arrivals) - new
        db.conn.execute("UPDATE counter SET value = value + ? WHERE name = 'redelivered'", (repeats,))
    return new


def _totals(db: Database, since_ms: int, alarms: int) -> Totals:
    verdicts: dict[str, dict[str, int]] = {}
    for box, verdict, count in db.conn.execute(_VERDICTS, (since_ms,)):
        verdicts.setdefault(box, {})[verdict] = count
    reasons: dict[str, dict[str, int]] = {}
    for verdict, reason, count in db.conn.execute(_REASONS):
        reasons.setdefault(verdict, {})[reason or "none"] = count
    per_box = db.conn.execute("SELECT box, count(*), max(received_ms) FROM record GROUP BY box")
    newest = db.conn.execute(_ALARMS, (AlarmRaised.TYPE, alarms))
    return Totals(
        kinds=dict(db.conn.execute("SELECT kind, count(*) FROM record GROUP BY kind").fetchall()),
        boxes={box: (count, datetime.fromtimestamp(last / 1000).astimezone()) for box, count, last in per_box},
        verdicts_today=verdicts,
        reasons=reasons,
        duplicates=db.conn.execute(_TWICE).fetchone()[0],
        redelivered=db.conn.execute("SELECT value FROM counter WHERE name = 'redelivered'").fetchone()[0],
        alarms=[(box, msgspec.json.decode(body, type=AlarmRaised)) for box, body in newest],
    )


def _index(kind: str, body: bytes) -> tuple[str | None, str | None]:
    """Subject (what may exist once) and verdict of the record in `body`; raises BadMessage."""
    if kind not in RECORD_TYPES:
        try:
            msgspec.json.decode(body)
        except msgspec.DecodeError as exc:
            raise BadMessage(f"{kind[:60]}: no JSON") from exc
        return None, None
    record: Record = decode_record(kind, body)
    match record:
        case PassageDecided():
            return record.passage_id, record.verdict
        case PassageClosed():
            return record.passage_id, None
        case AlarmRaised():
            return record.alarm_id, None
        case Gap():
            return None, None


def _ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
