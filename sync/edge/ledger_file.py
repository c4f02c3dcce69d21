"""Schema and rows of `ledger.db`."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlite_utils import Database, Migrations

from sync.contract.records import AlarmRaised, Record, decode_record, encode_record

LEDGER_MIGRATIONS = Migrations("ledger")


@LEDGER_MIGRATIONS()
def create(db: Database) -> None:
    """Records and the epoch they are numbered in: a new file is a new epoch."""
    # AUTOINCREMENT: a number is never given twice, not even after its row is gone.
    db.conn.execute(
        """
        CREATE TABLE record (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL,
            alarm INTEGER NOT NULL,
            body BLOB NOT NULL,
            appended_ms INTEGER NOT NULL,
            acknowledged_ms INTEGER,
            parked TEXT
        )
        """
    )
    db.conn.execute(
        "CREATE INDEX record_waiting ON record (alarm, seq) WHERE acknowledged_ms IS NULL AND parked IS NULL"
    )
    db.conn.execute("CREATE INDEX record_acknowledged ON record (seq) WHERE acknowledged_ms IS NOT NULL")
    db.conn.execute("CREATE INDEX record_parked ON record (seq) WHERE parked IS NOT NULL")
    db.conn.execute("CREATE VIEW waiting AS SELECT * FROM record WHERE acknowledged_ms IS NULL AND parked IS NULL")
    db.table("ledger").insert({"epoch": secrets.token_hex(8)})


@dataclass(frozen=True, slots=True)
class Row:
    """One record as the ledger holds it; `body` is its JSON."""

    seq: int
    kind: str
    body: bytes = field(repr=False)
    appended_ms: int

    @property
    def appended(self) -> datetime:
        """Wall time of the append."""
        return datetime.fromtimestamp(self.appended_ms / 1000, UTC)

    def record(self) -> Record:
        return decode_record(self.kind, self.body)


def wall_ms() -> int:
    """Wall time as the ledger writes it."""
    return time.time_ns() // 1_000_000


def insert(db: Database, record: Record) -> int:
    """Add `record` within the caller's transaction; returns its number."""
    seq: int = db.conn.execute(
        "INSERT INTO record (kind, alarm, body, appended_ms) VALUES (?, ?, ?, ?) RETURNING seq",
        (record.TYPE, isinstance(record, AlarmRaised), encode_record(record), wall_ms()),
    ).fetchone()[0]
    return seq


def rows(db: Database, select: str, *parameters: int) -> list[Row]:
    """What `select` finds; its columns are those of Row."""
    return [Row(*found) for found in db.conn.execute(select, parameters)]


def used_bytes(db: Database) -> int:
    """Bytes of the pages in use; pages freed by deletions are used again before the file grows."""
    size, pages, free = (
        db.conn.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
    )
    return int(size * (pages - free))
