"""Schema of `records.db`, and the insertion of a batch."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import astuple

from sqlite_utils import Database, Migrations

from sync.contract.records import RecordId
from sync.platform.records.forks import Name, StreamKey, check_same, fork_row, record_id, split_forks, to_look_up
from sync.platform.records.received import AbsentRange, ReceivedRecord
from sync.platform.records.store_contract import StoredRecord
from sync.platform.records.summary import summarise

RECORD_MIGRATIONS = Migrations("records")

_INSERT = "INSERT OR IGNORE INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_FORKED = "SELECT 1 FROM fork WHERE box = ? AND epoch = ?"
_LOCK = "UPDATE ingest_group SET name = name"
_STORED = "SELECT seq, kind, chain, body FROM record WHERE box = ? AND epoch = ? AND seq = ?"
_RIVAL = "INSERT OR IGNORE INTO rival VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FORK = (
    "INSERT INTO fork VALUES (?, ?, ?, 1, ?) ON CONFLICT (box, epoch) DO UPDATE SET"
    " records = records + 1, first_seq = min(first_seq, excluded.first_seq)"
)
_ABSENCE = "INSERT OR IGNORE INTO absence VALUES (?, ?, ?, ?, ?, ?)"
_TALLY = (
    "INSERT INTO tally VALUES (?, ?, ?, ?) ON CONFLICT (name, key, detail) DO UPDATE SET count = count + excluded.count"
)
_STREAM = (
    "INSERT INTO stream (box, epoch, records, highest, newest_ms) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (box, epoch) DO UPDATE SET records = records + excluded.records,"
    " highest = max(highest, excluded.highest), newest_ms = max(newest_ms, excluded.newest_ms)"
)
_SPAN = (
    "INSERT INTO span VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (box, day, epoch) DO UPDATE SET"
    " records = records + excluded.records, first_seq = min(first_seq, excluded.first_seq),"
    " last_seq = max(last_seq, excluded.last_seq)"
)


@RECORD_MIGRATIONS()
def create(db: Database) -> None:
    """Records by name, indexes for the fleet page, and a count of ignored repeats."""
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


@RECORD_MIGRATIONS()
def summaries(db: Database) -> None:
    """Chain hashes, and summaries that replace the indexes, so that no query counts all records."""
    db.conn.execute("ALTER TABLE record ADD COLUMN chain BLOB")
    for index in ("record_subject", "record_happened"):
        db.conn.execute(f"DROP INDEX {index}")
    for column in ("subject", "verdict"):
        db.conn.execute(f"ALTER TABLE record DROP COLUMN {column}")
    db.conn.execute("CREATE INDEX record_alarm ON record (happened_ms) WHERE kind = 'sentinel.alarm.raised'")
    for columns in (
        "tally (name TEXT, key TEXT, detail TEXT, count INTEGER NOT NULL, PRIMARY KEY (name, key, detail))",
        "stream (box TEXT, epoch TEXT, records INTEGER NOT NULL, highest INTEGER NOT NULL, newest_ms INTEGER NOT NULL,"
        " settled INTEGER NOT NULL DEFAULT 0, asked_ms INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (box, epoch))",
        "span (box TEXT, day TEXT, epoch TEXT, records INTEGER NOT NULL, first_seq INTEGER NOT NULL,"
        " last_seq INTEGER NOT NULL, PRIMARY KEY (box, day, epoch))",
        "absence (box TEXT, epoch TEXT, first_seq INTEGER, last_seq INTEGER, count INTEGER NOT NULL,"
        " reason TEXT NOT NULL, PRIMARY KEY (box, epoch, first_seq, last_seq))",
        "effect (id BLOB PRIMARY KEY)",
    ):
        db.conn.execute(f"CREATE TABLE {columns} WITHOUT ROWID")
    [redelivered] = db.conn.execute("SELECT value FROM counter").fetchone()
    db.conn.execute("DROP TABLE counter")
    _count(db, _old_rows(db), redelivered)


@RECORD_MIGRATIONS()
def forks(db: Database) -> None:
    """Forked records, which a second device wrote as the same box, and the first number of each fork."""
    db.conn.execute(
        "CREATE TABLE rival (box TEXT, epoch TEXT, seq INTEGER, mark BLOB, kind TEXT NOT NULL,"
        " happened_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL, body BLOB NOT NULL, chain BLOB,"
        " PRIMARY KEY (box, epoch, seq, mark)) WITHOUT ROWID"
    )
    db.conn.execute("CREATE INDEX rival_alarm ON rival (happened_ms) WHERE kind = 'sentinel.alarm.raised'")
    db.conn.execute(
        "CREATE TABLE fork (box TEXT, epoch TEXT, first_seq INTEGER NOT NULL, records INTEGER NOT NULL,"
        " since_ms INTEGER NOT NULL, PRIMARY KEY (box, epoch)) WITHOUT ROWID"
    )


@RECORD_MIGRATIONS()
def ends(db: Database) -> None:
    """What each box last reported of its epochs."""
    db.conn.execute(
        "CREATE TABLE epoch_end (box TEXT, epoch TEXT, last_seq INTEGER NOT NULL, head BLOB, waiting TEXT NOT NULL,"
        " said_ms INTEGER NOT NULL, PRIMARY KEY (box, epoch)) WITHOUT ROWID"
    )


@RECORD_MIGRATIONS()
def arrival(db: Database) -> None:
    """Alarms in the order of their receipt, which no clock of a box decides, and the name of the ingest group."""
    for table in ("record", "rival"):
        db.conn.execute(f"DROP INDEX {table}_alarm")
        db.conn.execute(f"CREATE INDEX {table}_alarm ON {table} (received_ms) WHERE kind = 'sentinel.alarm.raised'")
    db.conn.execute("CREATE TABLE ingest_group (name TEXT NOT NULL)")
    db.conn.execute("INSERT INTO ingest_group VALUES (?)", (secrets.token_hex(16),))


def add(
    db: Database, records: Sequence[ReceivedRecord], absences: Sequence[AbsentRange], forked_streams: set[StreamKey]
) -> int:
    """Insert a batch within the transaction of the caller; returns how many records were new.

    `forked_streams` are forked streams that are not stored yet. Raises ForkDetected for another fork.
    """
    # The transaction begins with a write, so that it waits for another process here and does not fail later.
    db.conn.execute(_LOCK)
    streams = {(each.name.box, each.name.epoch) for each in records}
    forked_streams = {each for each in streams if each in forked_streams or db.conn.execute(_FORKED, each).fetchone()}
    accepted, forked_records = split_forks(records, forked_streams, _look_up(db, to_look_up(records, forked_streams)))
    new: list[ReceivedRecord] = []
    again: list[ReceivedRecord] = []
    for each in accepted:
        (new if db.conn.execute(_INSERT, _row(each)).rowcount else again).append(each)
    check_same(again, _look_up(db, map(record_id, again)))
    _count(db, new, len(records) - len(new) - len(forked_records))
    db.conn.executemany(_ABSENCE, [astuple(absence) for absence in absences])
    for each in forked_records:
        if db.conn.execute(_RIVAL, fork_row(each)).rowcount:
            db.conn.execute(_FORK, (*record_id(each), each.received_ms))
    return len(new)


def _look_up(db: Database, names: Iterable[Name]) -> dict[Name, StoredRecord]:
    found = ((name, db.conn.execute(_STORED, name).fetchone()) for name in names)
    return {name: StoredRecord(*row) for name, row in found if row is not None}


def _row(record: ReceivedRecord) -> tuple[str, str, int, str, int, int, bytes, bytes | None]:
    name = record.name
    times = (record.happened_ms, record.received_ms)
    return (name.box, name.epoch, name.seq, record.kind, *times, record.body, record.chain)


def _count(db: Database, new: Sequence[ReceivedRecord], redelivered: int) -> None:
    """Add `new` records to the summaries."""
    effects = [(each.effect,) for each in new if each.effect is not None]
    before = db.conn.total_changes
    db.conn.executemany("INSERT OR IGNORE INTO effect VALUES (?)", effects)
    summary = summarise(new, redelivered, duplicates=len(effects) - (db.conn.total_changes - before))
    db.conn.executemany(_STREAM, summary.streams)
    db.conn.executemany(_SPAN, summary.spans)
    db.conn.executemany(_TALLY, summary.tally)
    db.conn.executemany(_ABSENCE, [astuple(each.absence) for each in new if each.absence is not None])


def _old_rows(db: Database) -> list[ReceivedRecord]:
    rows = db.conn.execute("SELECT box, epoch, seq, kind, happened_ms, received_ms, body FROM record").fetchall()
    return [
        ReceivedRecord.read_stored(RecordId(box, epoch, seq), kind, happened_ms, received_ms, body)
        for box, epoch, seq, kind, happened_ms, received_ms, body in rows
    ]
