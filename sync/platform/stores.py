"""Where the platform's records lie: chosen by one word, in one place."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from sync.errors import StoreFailed
from sync.platform.sqlite_store import SqliteStore
from sync.platform.store import RecordStore

_POSTGRESQL = ("postgresql://", "postgres://")


def open_store(where: str, *, reading: bool = False) -> AbstractAsyncContextManager[RecordStore]:
    """The store at `where`: postgresql://…, or the path of an SQLite file. Raises StoreFailed, here or when opened.

    `reading`: for who only looks, beside those who write.
    """
    if not where.startswith(_POSTGRESQL):
        path = Path(where)
        if reading and not path.is_file():
            raise StoreFailed(f"{where}: there are no records")
        return SqliteStore.reading(path) if reading else SqliteStore.opened(path)
    try:
        # The driver is an extra: a platform on SQLite does without it.
        from sync.platform.postgresql_store import PostgresqlStore
    except ModuleNotFoundError as exc:
        raise StoreFailed("PostgreSQL needs the extra: pip install 'sentinel-gate[postgresql]'") from exc
    return PostgresqlStore.opened(where)
