"""Selects the record store of the platform by its address."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from sync.errors import StoreFailed
from sync.platform.records.sqlite_store import SqliteStore
from sync.platform.records.store_contract import RecordStore
from sync.storage.file_head import read_head

_POSTGRESQL = ("postgresql://", "postgres://")
_OTHER = re.compile("[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # another URL scheme or a typing error; not a file name
_SQLITE = b"SQLite format 3\0"


def open_store(where: str, *, reading: bool = False) -> AbstractAsyncContextManager[RecordStore]:
    """The store at `where`: postgresql://…, or the path of an SQLite file. Raises StoreFailed, here or when opened.

    `reading`: read-only, beside processes that write.
    """
    if not where.startswith(_POSTGRESQL):
        if _OTHER.match(where):
            raise StoreFailed("the store must be postgresql://user@host/name, or the path of an SQLite file")
        path = Path(where)
        if path.is_file() and not _is_sqlite(path) and read_head(path) is None:
            raise StoreFailed(f"{where} is not an SQLite file and was not changed: name another file, or move it away")
        if reading and not path.is_file():
            raise StoreFailed(f"{where} does not exist: there are no records")
        return SqliteStore.reading(path) if reading else SqliteStore.opened(path)
    try:
        # The driver is an optional dependency.
        from sync.platform.records.postgresql_store import PostgresqlStore
    except ModuleNotFoundError as exc:
        raise StoreFailed("PostgreSQL needs the extra: pip install 'sentinel-gate[postgresql]'") from exc
    return PostgresqlStore.opened(where)


def _is_sqlite(path: Path) -> bool:
    """Whether `path` is empty or has the header of SQLite.

    A damaged database keeps its header and is set aside later; a file of another program must not be.
    """
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) in (_SQLITE, b"")
    except OSError as exc:
        raise StoreFailed(f"{path}: {exc.strerror}") from exc
