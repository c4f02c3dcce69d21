"""`directory.db`: rows of the replica, and where it stands in the stream of operations."""

from __future__ import annotations

import time
from dataclasses import dataclass

import msgspec
from sqlite_utils import Database, Migrations

from sync.contract.checksum import EMPTY, changed
from sync.contract.messages import Checkpoint, DirectoryPage

DIRECTORY_MIGRATIONS = Migrations("directory")
_NULL = b"null"


class Position(msgspec.Struct, frozen=True):
    """What the replica holds: all operations of `generation` up to `cursor`, with this checksum."""

    generation: str = ""
    cursor: int = 0
    checksum: str = EMPTY
    rows: int = 0
    confirmed_ms: int = 0  # wall time of the last checkpoint that matched; 0 for never


@dataclass(frozen=True, slots=True)
class Staged:
    """Operations kept until their checkpoint: of `generation`, from `after` (0: a whole new copy) up to `upto`."""

    generation: str
    after: int
    upto: int


class Mismatch(Exception):
    """The staged operations do not lead to the checkpoint; nothing of them was applied."""


@DIRECTORY_MIGRATIONS()
def create(db: Database) -> None:
    """Statuses by person key, operations that wait for their checkpoint, and the position."""
    db.conn.execute("CREATE TABLE status (person_key TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID")
    db.conn.execute("CREATE TABLE staged (op INTEGER PRIMARY KEY, person_key TEXT NOT NULL, body BLOB)")
    db.conn.execute("CREATE TABLE position (body BLOB NOT NULL)")
    db.conn.execute("INSERT INTO position VALUES (?)", (msgspec.json.encode(Position()),))


def read_position(db: Database) -> Position:
    """Where the replica stands."""
    [body] = db.conn.execute("SELECT body FROM position").fetchone()
    return msgspec.json.decode(body, type=Position)


def write_position(db: Database, position: Position) -> Position:
    """Note where the replica stands now."""
    db.conn.execute("UPDATE position SET body = ?", (msgspec.json.encode(position),))
    return position


def read_status(db: Database, person_key: str) -> bytes | None:
    """JSON of one person's status."""
    found = db.conn.execute("SELECT body FROM status WHERE person_key = ?", (person_key,)).fetchone()
    return found[0] if found else None


def stage(db: Database, page: DirectoryPage, staged: Staged | None) -> Staged:
    """Keep the operations of `page`, which begins a run (`staged` None) or joins on to it."""
    if staged is None:
        db.conn.execute("DELETE FROM staged")
    db.conn.executemany(
        "INSERT INTO staged VALUES (?, ?, ?)",
        [(op.op, op.person_key, None if bytes(op.status) == _NULL else bytes(op.status)) for op in page.ops],
    )
    upto = page.ops[-1].op if page.ops else page.after
    return Staged(page.generation, page.after if staged is None else staged.after, upto)


def settle(db: Database, staged: Staged, checkpoint: Checkpoint) -> Position:
    """Apply what is staged, within the caller's transaction; raises Mismatch when the sum is wrong."""
    old = read_position(db)
    if staged.after == 0:
        db.conn.execute("DELETE FROM status")
    checksum, rows = (EMPTY, 0) if staged.after == 0 else (old.checksum, old.rows)
    for key, body in db.conn.execute("SELECT person_key, body FROM staged ORDER BY op").fetchall():
        before = read_status(db, key)
        checksum = changed(checksum, before, body)
        rows += (body is not None) - (before is not None)
        if body is None:
            db.conn.execute("DELETE FROM status WHERE person_key = ?", (key,))
        else:
            db.conn.execute("INSERT OR REPLACE INTO status VALUES (?, ?)", (key, body))
    if (checksum, rows) != (checkpoint.checksum, checkpoint.rows):
        raise Mismatch
    db.conn.execute("DELETE FROM staged")
    return write_position(db, Position(staged.generation, checkpoint.op, checksum, rows, time.time_ns() // 1_000_000))
