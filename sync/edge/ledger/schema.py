"""Schema and rows of `ledger.db`."""

from __future__ import annotations

import secrets
import sqlite3
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sqlite_utils import Database, Migrations

from sync.contract.chain import HASH_BYTES, first_hash, next_hash
from sync.contract.records import RECORD_TYPES, AlarmRaised, Clock, Record, decode_record, encode_record
from sync.errors import DamagedFile, DecryptionFailed
from sync.storage.encryption import Cipher, KeyedCipher, encrypt_file, load_cipher

LEDGER_MIGRATIONS = Migrations("ledger")
_LATEST_MS = 253_402_300_799_000  # the year 9999
_CHAIN = (
    "SELECT chain FROM record WHERE (SELECT epoch FROM ledger) = ? AND seq = ?"
    " UNION ALL SELECT chain FROM earlier WHERE epoch = ? AND seq = ?"
)
_ENCRYPT_ROWS = (
    "UPDATE record SET body = encrypted(body, (SELECT epoch FROM ledger), seq, kind, appended_ms, chain)",
    "UPDATE earlier SET body = encrypted(body, epoch, seq, kind, appended_ms, chain)",
)


@LEDGER_MIGRATIONS()
def create(db: Database) -> None:
    """Records, and the epoch of their numbers: a new file is a new epoch."""
    # AUTOINCREMENT: a number is never reused, even after its row is deleted.
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


@LEDGER_MIGRATIONS()
def chain(db: Database) -> None:
    """Hash chain; records written before this migration have no hash."""
    db.conn.execute("ALTER TABLE record ADD COLUMN chain BLOB")
    db.conn.execute("DROP VIEW waiting")
    db.conn.execute(
        "CREATE VIEW waiting AS SELECT (SELECT epoch FROM ledger) AS epoch, record.* FROM record"
        " WHERE acknowledged_ms IS NULL AND parked IS NULL"
    )


@LEDGER_MIGRATIONS()
def salvage(db: Database) -> None:
    """Unacknowledged records of earlier epochs, and the files from which they were recovered."""
    db.conn.execute(
        """
        CREATE TABLE earlier (
            epoch TEXT NOT NULL,
            seq INTEGER NOT NULL,
            kind TEXT NOT NULL,
            body BLOB NOT NULL,
            appended_ms INTEGER NOT NULL,
            chain BLOB,
            parked TEXT,
            PRIMARY KEY (epoch, seq)
        ) WITHOUT ROWID
        """
    )
    db.conn.execute("CREATE TABLE salvaged (file TEXT PRIMARY KEY) WITHOUT ROWID")


@LEDGER_MIGRATIONS()
def age(db: Database) -> None:
    """Index for finding records past their retention time."""
    db.conn.execute("CREATE INDEX record_age ON record (kind, appended_ms) WHERE acknowledged_ms IS NOT NULL")


@LEDGER_MIGRATIONS()
def ends(db: Database) -> None:
    """Ends of earlier epochs, by the file in which each was found."""
    db.conn.execute(
        "CREATE TABLE epoch_end (epoch TEXT PRIMARY KEY, file TEXT NOT NULL, last_seq INTEGER NOT NULL, chain BLOB)"
    )


@LEDGER_MIGRATIONS()
def dates(db: Database) -> None:
    """Whether `appended_ms` is by a clock in sync; without that a record is not deleted because of its date."""
    db.conn.execute("ALTER TABLE record ADD COLUMN dated INTEGER NOT NULL DEFAULT 1")
    db.conn.execute("CREATE INDEX record_undated ON record (kind, seq) WHERE NOT dated")


@dataclass(frozen=True, slots=True)
class Row:
    """One record of the ledger; `body` is its JSON, `chain` its hash (None: from before 0.2)."""

    epoch: str
    seq: int
    kind: str
    body: bytes = field(repr=False)
    appended_ms: int
    chain: bytes | None

    @property
    def name(self) -> tuple[str, int]:
        """Epoch and number, which identify the record on its box."""
        return self.epoch, self.seq

    @property
    def appended(self) -> datetime:
        """Wall time of the append."""
        return datetime.fromtimestamp(self.appended_ms / 1000, UTC)

    @property
    def chain_hex(self) -> str | None:
        """The hash as sent on the wire."""
        return None if self.chain is None else self.chain.hex()

    def record(self) -> Record:
        return decode_record(self.kind, self.body)


@dataclass(frozen=True, slots=True)
class RowCipher:
    """Encrypts and decrypts the rows of one box; a body is bound to its box and to every other value of its row."""

    box: str
    cipher: Cipher

    @classmethod
    def for_writing(cls, db: Database, box: str, cipher: KeyedCipher | None) -> RowCipher:
        """The cipher of a ledger that is written; encrypts a plaintext ledger first. Raises WrongKey."""
        return cls(box, encrypt_file(db.conn, cipher, _ENCRYPT_ROWS, lambda *names: _place(box, *names)))

    @classmethod
    def for_reading(cls, connection: sqlite3.Connection, box: str, cipher: KeyedCipher | None) -> RowCipher:
        """The cipher of a ledger that is only read. Raises WrongKey, DamagedFile."""
        return cls(box, load_cipher(connection, cipher))

    def encrypt(self, row: Row) -> Row:
        """`row` with its body in stored form."""
        return replace(row, body=self.cipher.encrypt(row.body, self._place(row)))

    def decrypt(self, row: Row) -> Row:
        """A stored `row` with its body in plaintext. Raises DecryptionFailed, also for values of a wrong type."""
        if not _is_well_formed(row):
            raise DecryptionFailed("a stored record has a value of a wrong type")
        try:
            body = self.cipher.decrypt(row.body, self._place(row))
        except DecryptionFailed:  # from before 0.2, when time and hash were not covered
            body = self.cipher.decrypt(row.body, _old_place(self.box, *row.name, row.kind))
        return row if body is row.body else replace(row, body=body)

    def can_decrypt(self, row: Row) -> bool:
        """Whether a stored `row` is readable."""
        try:
            self.decrypt(row)
        except DecryptionFailed:
            return False
        return True

    def _place(self, row: Row) -> str:
        return _place(self.box, *row.name, row.kind, row.appended_ms, row.chain)


def _is_well_formed(row: Row) -> bool:
    chained = row.chain is None or (isinstance(row.chain, bytes) and len(row.chain) == HASH_BYTES)
    numbers = isinstance(row.seq, int) and isinstance(row.appended_ms, int) and 0 <= row.appended_ms <= _LATEST_MS
    return chained and numbers and row.kind in RECORD_TYPES and isinstance(row.body, bytes)


def _place(box: str, epoch: str, seq: int, kind: str, appended_ms: int, chain: bytes | None) -> str:
    chained = "" if chain is None else chain.hex()
    return f"{_old_place(box, epoch, seq, kind)}/{appended_ms}/{chained}"


def _old_place(box: str, epoch: str, seq: int, kind: str) -> str:
    return f"record/{box}/{epoch}/{seq}/{kind}"


@dataclass(frozen=True, slots=True)
class Tail:
    """The epoch, its last number and the hash that precedes the next record."""

    epoch: str
    seq: int
    chain: bytes


def wall_ms() -> int:
    """Wall time in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def read_epoch(db: Database) -> str:
    """The epoch of this file."""
    [epoch] = db.conn.execute("SELECT epoch FROM ledger").fetchone()
    return str(epoch)


def read_tail(db: Database, box: str) -> Tail:
    """The current tail of the ledger of `box`. The newest row is never deleted, because the next hash covers it."""
    epoch = read_epoch(db)
    seq = _last_number(db)
    found = db.conn.execute("SELECT chain FROM record WHERE seq = ?", (seq,)).fetchone()
    return Tail(epoch, seq, found[0] if found and found[0] else first_hash(box, epoch))


def ledger_state(db: Database) -> tuple[str, int]:
    """Epoch and last number: what `FILE-head` remembers of a ledger."""
    return read_epoch(db), _last_number(db)


def check_tail(db: Database) -> None:
    """Raise DamagedFile if the newest row is not the last number; it is never deleted."""
    [newest] = db.conn.execute("SELECT max(seq) FROM record").fetchone()
    if (newest or 0) != _last_number(db):
        raise DamagedFile("the last number is not the number of the newest record")


def _last_number(db: Database) -> int:
    last = db.conn.execute("SELECT seq FROM sqlite_sequence WHERE name = 'record'").fetchone()
    return int(last[0]) if last else 0


def is_ours(db: Database, epoch: str, seq: int, chain: bytes) -> bool:
    """Whether this ledger has record `seq` of `epoch` with this hash, and so the same records before it."""
    found = db.conn.execute(_CHAIN, (epoch, seq, epoch, seq)).fetchone()
    return found is not None and found[0] in (None, chain)


def insert(db: Database, cipher: RowCipher, tail: Tail, record: Record) -> Tail:
    """Insert `record` after `tail` in the caller's transaction; return the new tail. The hash covers the plaintext."""
    seq, body = tail.seq + 1, encode_record(record)
    new = Tail(tail.epoch, seq, next_hash(tail.chain, seq, record.TYPE, body))
    row = cipher.encrypt(Row(new.epoch, seq, record.TYPE, body, wall_ms(), new.chain))
    db.conn.execute(
        "INSERT INTO record (seq, kind, alarm, body, appended_ms, chain, dated) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (seq, row.kind, isinstance(record, AlarmRaised), row.body, row.appended_ms, row.chain, _is_dated(record)),
    )
    return new


def _is_dated(record: Record) -> bool:
    """Whether the clock was in sync when `record` was made."""
    values = (getattr(record, name) for name in record.__struct_fields__)
    return any(value.in_sync for value in values if isinstance(value, Clock))


def rows(db: Database, select: str, *parameters: object) -> list[Row]:
    """The stored rows that `select` returns; its columns are those of Row."""
    return [Row(*found) for found in db.conn.execute(select, parameters)]


def used_bytes(db: Database) -> int:
    """Size of the pages in use; pages freed by deletions are reused before the file grows."""
    return _pragma(db, "page_size") * (_pragma(db, "page_count") - _pragma(db, "freelist_count"))


def file_bytes(db: Database) -> int:
    """Size of the file."""
    return _pragma(db, "page_size") * _pragma(db, "page_count")


def _pragma(db: Database, name: str) -> int:
    return int(db.conn.execute(f"PRAGMA {name}").fetchone()[0])
