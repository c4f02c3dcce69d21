"""Keeps `FILE-head` of an open database up to date; counts the commits of files that have no number of their own."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

import msgspec
from sqlite_utils import Database

from sync.storage.damage import State, schema_checksum
from sync.storage.file_head import FileHead, HeadFile

log = logging.getLogger(__name__)

_CREATE = "CREATE TABLE IF NOT EXISTS _file (identity TEXT NOT NULL, commits INTEGER NOT NULL)"
_INSERT = "INSERT INTO _file SELECT ?, 0 WHERE NOT EXISTS (SELECT 1 FROM _file)"
_COUNT = "UPDATE _file SET commits = commits + 1"


def counted_commits(database: Database) -> tuple[str, int]:
    """The identity of the file and its number of commits by `SqliteThread.write`."""
    [(identity, commits)] = database.conn.execute("SELECT identity, commits FROM _file").fetchall()
    return str(identity), int(commits)


def count_commit(database: Database) -> None:
    """Count the current transaction; without effect for a ledger, which counts records."""
    if "_file" in database.table_names():
        database.conn.execute(_COUNT)


class HeadWriter:
    """The head of one database that is open for writing; used on its thread."""

    def __init__(self, path: Path, database: Database, state: State, store: str) -> None:
        """`store` names its migrations. Raises sqlite3.Error; without space on the disk the head stays as it is."""
        if state is counted_commits:
            with database.atomic():
                database.conn.execute(_CREATE)
                database.conn.execute(_INSERT, (secrets.token_hex(8),))
        self._state = state
        self._store = store
        self._schema = schema_checksum(database)
        self._file = _file(path)
        self._written: FileHead | None = None
        self._seen = -1  # total_changes of the connection
        self.follow(database)

    def follow(self, database: Database) -> None:
        """Write the current state if the connection changed anything since the last call."""
        if database.conn.total_changes != self._seen and not database.conn.in_transaction:
            self._seen = database.conn.total_changes
            self._write(FileHead(*self._state(database), self._schema, self._store))

    def note_damage(self) -> None:
        """Write that the file was found damaged."""
        if self._written is not None:
            self._write(msgspec.structs.replace(self._written, damaged=True))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, head: FileHead) -> None:
        if self._file is None or head == self._written or (self._written is not None and self._written.damaged):
            return
        try:
            self._file.write(head)
        except OSError as exc:
            log.warning("the state of a database was not saved: %s", exc.strerror)
        else:
            self._written = head


def _file(path: Path) -> HeadFile | None:
    try:
        return HeadFile(path)
    except OSError as exc:
        log.warning("%s: the state was not saved: %s", path.name, exc.strerror)
        return None
