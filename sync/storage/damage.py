"""Examines a database file before it is opened for writing, so that a damaged one can be set aside unchanged."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database, Migrations

from sync.errors import DamagedFile, StoreFailed
from sync.storage.file_head import FileHead, read_head

BUSY_S = 5.0
APPLIED_TABLE = "_sqlite_migrations"  # where sqlite-utils records applied migrations

State = Callable[[Database], tuple[str, int]]  # identity and count, as in FileHead
Check = Callable[[Database], None]  # raises DamagedFile, or whatever reading damaged rows raises

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_JOURNAL_VERSIONS = {1, 2}  # bytes 18 and 19 of the header; SQLite opens a file with others read-only
# The disk or another process prevents access; the file itself may be intact.
_NOT_DAMAGE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_ABORT,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOLFS,
}
_STRUCTURE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def read_text(stored: bytes) -> str:
    """Text of a column; a damaged one is read with replacement characters, so that it can be compared and rejected."""
    return stored.decode(errors="replace")


def connect_read_only(path: Path) -> sqlite3.Connection:
    """A connection that changes neither the file nor its write-ahead log. Raises sqlite3.Error, DamagedFile."""
    if is_emptied(path):
        raise DamagedFile(f"{path} is empty, but has a write-ahead log")  # which SQLite would delete
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)
    connection.text_factory = read_text
    return connection


def is_emptied(path: Path) -> bool:
    """Whether the file is missing or has no bytes while its write-ahead log has some."""
    return _size(path) == 0 and _size(path.with_name(f"{path.name}-wal")) > 0


def examine(
    path: Path, migrations: Migrations, state: State, check: Check, watch: Callable[[sqlite3.Connection], None]
) -> None:
    """Check the file without changing it; a file that does not exist yet is intact. `watch` prepares the connection.

    Raises StoreFailed for a file of another program; anything for which `is_damage` returns True means damage.
    """
    head = read_head(path)
    if head is not None and head.store != migrations.name:
        raise _other_data(path)
    if _size(path) == 0:
        if head is not None or is_emptied(path):
            raise DamagedFile(f"the file is {'empty' if path.exists() else 'missing'}, although it was used before")
        return
    _roll_back(path)
    free_pages = _check_header(path)
    with closing(connect_read_only(path)) as connection:
        watch(connection)
        connection.execute("BEGIN")  # one state of the file, even if another process changes it
        database = Database(connection)
        if not _has_tables(connection, path, migrations, head):
            return
        check_integrity(connection)
        if free_pages and connection.execute("PRAGMA freelist_count").fetchone() == (free_pages,):
            raise DamagedFile("free pages are counted, but not listed")  # `integrity_check` does not find this
        if head is not None:
            _compare(database, head, state)
        if _is_current(database, migrations):
            check(database)


def check_integrity(connection: sqlite3.Connection) -> None:
    """Check pages, indexes and constraints. Raises DamagedFile, sqlite3.Error."""
    [verdict] = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise DamagedFile(verdict)


def is_damage(exc: Exception) -> bool:
    """Whether `exc`, raised by `examine`, means that the file itself is damaged."""
    if isinstance(exc, sqlite3.Error):
        code = getattr(exc, "sqlite_errorcode", None)  # None: text that is not UTF-8, or a value of a wrong type
        return code is None or code & 0xFF not in _NOT_DAMAGE
    return isinstance(exc, DamagedFile) or not isinstance(exc, StoreFailed | OSError)


def reason(exc: Exception) -> str:
    """What is damaged; of other exceptions only the type, because the message may contain stored data."""
    return str(exc) if isinstance(exc, DamagedFile | sqlite3.Error) else type(exc).__name__


def is_broken_structure(exc: sqlite3.Error) -> bool:
    """Whether SQLite found the structure of an open file inconsistent."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in _STRUCTURE


def schema_checksum(database: Database) -> str:
    """Checksum of the schema."""
    found = database.conn.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    return hashlib.sha256(repr(found).encode()).hexdigest()[:16]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _roll_back(path: Path) -> None:
    """Undo a transaction that was interrupted while the file was created; later ones use the write-ahead log."""
    if _size(path.with_name(f"{path.name}-journal")):
        with closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _check_header(path: Path) -> int:
    """Return the number of free pages if the header lists none of them, otherwise 0. Raises DamagedFile."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if header and (not header.startswith(_MAGIC) or not _JOURNAL_VERSIONS.issuperset(header[18:20])):
        raise DamagedFile("file is not a database, or its header is damaged")
    return 0 if any(header[32:36]) else int.from_bytes(header[36:40])


def _has_tables(connection: sqlite3.Connection, path: Path, migrations: Migrations, head: FileHead | None) -> bool:
    """Whether the file contains tables of `migrations`. Raises StoreFailed if it is another program's, DamagedFile."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    applied = f"SELECT migration_set FROM {APPLIED_TABLE}"  # noqa: S608 - a constant of this file
    ours = APPLIED_TABLE in tables and {(migrations.name,)}.issuperset(connection.execute(applied))
    if head is not None and not (tables and ours):
        raise DamagedFile("the schema is damaged")
    if tables and not ours:
        raise _other_data(path)
    return bool(tables)


def _other_data(path: Path) -> StoreFailed:
    return StoreFailed(f"{path} contains other data and was not changed: choose another file")


def _is_current(database: Database, migrations: Migrations) -> bool:
    """Whether all migrations are applied; `check` knows only the current tables. Raises DamagedFile."""
    applied = {each.name for each in migrations.applied(database)}
    known = {each.name for each in migrations.pending(Database(memory=True))}
    if applied - known and known - applied:
        raise DamagedFile("the list of applied migrations is damaged")
    return applied >= known


def _compare(database: Database, head: FileHead, state: State) -> None:
    if head.damaged:
        raise DamagedFile("found damaged while it was in use")
    if schema_checksum(database) != head.schema:
        raise DamagedFile("the schema was changed")
    identity, count = state(database)
    if identity != head.identity:
        raise DamagedFile("its identity was changed, or it is another file")
    if count < head.count:
        raise DamagedFile(f"its last {head.count - count} changes are missing")
