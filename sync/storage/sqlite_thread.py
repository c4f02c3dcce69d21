"""One SQLite file on a dedicated thread: the event loop does not wait for the disk, and the file has one writer."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sqlite_utils import Database, Migrations

from sync.errors import StoreFailed, StoreFull
from sync.storage.atomic_files import sync_folder
from sync.storage.progress import Progress

T = TypeVar("T")
log = logging.getLogger(__name__)

_BUSY_S = 5.0
_WAL_PAGES = 1000
_PROGRESS_STEPS = 10_000  # of SQLite's virtual machine (some tenths of a millisecond) between two progress reports
_APPLIED_TABLE = "_sqlite_migrations"  # where sqlite-utils records applied migrations
SIDE_FILES = ("", "-wal", "-shm")
_DAMAGED = "damaged"


class SqliteThread:
    """Runs functions with the database on its thread, one at a time.

    WAL and synchronous=FULL: a write that returned is on the disk (with NORMAL a power cut loses everything since the
    last checkpoint). `set_aside` is the new path of a damaged file that was renamed when this one was opened. Waiting
    tasks wake at intervals while SQLite makes progress on any of the work, and do not wake while the thread or the disk
    is stalled.
    """

    def __init__(
        self, thread: ThreadPoolExecutor, database: Database, progress: Progress, set_aside: Path | None = None
    ) -> None:
        self.set_aside = set_aside
        self._thread = thread
        self._database = database
        self._progress = progress

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        path: Path,
        migrations: Migrations,
        *,
        wal_pages: int = _WAL_PAGES,
        shared: ThreadPoolExecutor | None = None,
    ) -> AsyncIterator[SqliteThread]:
        """Open the file at `path` and apply its migrations; a damaged file is renamed and replaced by an empty one.

        The write-ahead log is checkpointed every `wal_pages` and truncated to that size. `shared`: a thread that
        serves several files, for a simulated fleet in one process. Raises StoreFailed if the file cannot be used for a
        reason other than damage.
        """
        loop, progress = asyncio.get_running_loop(), Progress()
        with _thread(shared, path.stem) as thread:
            file = _OpenFile(lambda: _open_or_set_aside(path, migrations, wal_pages, progress))
            try:
                try:
                    database, set_aside = await loop.run_in_executor(thread, file.open)
                except (sqlite3.Error, OSError) as exc:
                    raise store_failure(exc, f"{path}: ") from exc
                yield cls(thread, database, progress, set_aside)
            finally:
                await loop.run_in_executor(thread, file.close)

    @classmethod
    @asynccontextmanager
    async def reading(cls, path: Path, *, shared: ThreadPoolExecutor | None = None) -> AsyncIterator[SqliteThread]:
        """Open a second, read-only connection, which never waits for the writer. Raises StoreFailed without a file."""
        loop, progress = asyncio.get_running_loop(), Progress()
        with _thread(shared, f"{path.stem}-read") as thread:
            file = _OpenFile(lambda: (_connect_read_only(path, progress), None))
            try:
                try:
                    database, _ = await loop.run_in_executor(thread, file.open)
                except sqlite3.Error as exc:
                    raise store_failure(exc, f"{path}: ") from exc
                yield cls(thread, database, progress)
            finally:
                await loop.run_in_executor(thread, file.close)

    async def run(self, work: Callable[[Database], T]) -> T:
        """Return `work(database)`. Work that has started runs to its end even if cancelled. Raises StoreFailed."""
        try:
            return await self._progress.until(
                asyncio.get_running_loop().run_in_executor(self._thread, work, self._database)
            )
        except sqlite3.Error as exc:
            raise store_failure(exc) from exc

    async def touch(self) -> None:
        """Return when the thread is free."""
        await self.run(lambda _: None)

    async def write(self, work: Callable[[Database], T]) -> T:
        """`run` in one transaction."""

        def atomically(database: Database) -> T:
            with database.atomic():
                return work(database)

        return await self.run(atomically)


class _OpenFile:
    """Opens and closes a database on its thread; `close` also works if the caller was cancelled during `open`."""

    def __init__(self, opener: Callable[[], tuple[Database, Path | None]]) -> None:
        self._opener = opener
        self._database: Database | None = None

    def open(self) -> tuple[Database, Path | None]:
        self._database, set_aside = self._opener()
        return self._database, set_aside

    def close(self) -> None:
        if self._database is not None:
            self._database.close()


@contextmanager
def _thread(shared: ThreadPoolExecutor | None, name: str) -> Iterator[ThreadPoolExecutor]:
    if shared is not None:
        yield shared
        return
    with ThreadPoolExecutor(1, thread_name_prefix=name) as own:
        yield own


def store_failure(exc: sqlite3.Error | OSError, where: str = "") -> StoreFailed:
    """Convert `exc` to StoreFull or StoreFailed."""
    full = getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return (StoreFull if full else StoreFailed)(f"{where}{exc}")


def _open_or_set_aside(
    path: Path, migrations: Migrations, wal_pages: int, progress: Progress
) -> tuple[Database, Path | None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _open(path, migrations, wal_pages, progress), None
    except sqlite3.DatabaseError as exc:
        if not _is_damage(exc):
            raise
        aside = _renamed(path, _DAMAGED)
        log.warning("%s is damaged (%s); set aside as %s", path, exc, aside.name)
        return _open(path, migrations, wal_pages, progress), aside


def _open(path: Path, migrations: Migrations, wal_pages: int, progress: Progress) -> Database:
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)
    connection.set_progress_handler(progress.report, _PROGRESS_STEPS)
    try:
        _check_owner(connection, path, migrations)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten, not only forgotten
        [page_bytes] = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA wal_autocheckpoint={wal_pages}")
        connection.execute(f"PRAGMA journal_size_limit={wal_pages * page_bytes}")
        _check(connection)
        database = Database(connection)
        migrations.apply(database)
    except BaseException:
        connection.close()
        raise
    return database


def _check_owner(connection: sqlite3.Connection, path: Path, migrations: Migrations) -> None:
    """Raise StoreFailed if the file was created by anything other than `migrations`; the file is not changed."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return
    applied = f"SELECT migration_set FROM {_APPLIED_TABLE}"  # noqa: S608 - a constant of this file
    if _APPLIED_TABLE not in tables or not {(migrations.name,)}.issuperset(connection.execute(applied)):
        raise StoreFailed(f"{path} contains other data and was not changed: choose another file")


def _connect_read_only(path: Path, progress: Progress) -> Database:
    connection = _read_only(path)
    connection.set_progress_handler(progress.report, _PROGRESS_STEPS)
    return Database(connection)


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)


class _Damaged(sqlite3.DatabaseError):
    """The integrity check at start found the file inconsistent."""


def _check(connection: sqlite3.Connection) -> None:
    [verdict] = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise _Damaged(verdict)


def check_file(path: Path, *, limit_s: float) -> str:
    """Check the integrity of the file without changing it; return the problem, or "". Raises TimeoutError."""
    until_s = time.monotonic() + limit_s
    try:
        with closing(_read_only(path)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > until_s, _PROGRESS_STEPS)
            _check(connection)
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise TimeoutError(f"{path} could not be read within {limit_s:g} s") from exc
        return str(exc)
    except sqlite3.DatabaseError as exc:
        return str(exc)
    return ""


def _is_damage(exc: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is damaged; a full disk, a missing permission or a lock is not damage."""
    code = getattr(exc, "sqlite_errorcode", None)
    return isinstance(exc, _Damaged) or (
        code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    )


def aside_files(path: Path, why: str = _DAMAGED) -> list[Path]:
    """Every file that was set aside for `path`, oldest first, without its side files."""
    found = path.parent.glob(f"{path.name}.{why}-*")
    return sorted(each for each in found if not each.name.endswith(tuple(filter(None, SIDE_FILES))))


def is_older(path: Path, age_s: float) -> bool:
    """Whether `path` exists and was last written at least `age_s` ago."""
    return path.exists() and time.time() - path.stat().st_mtime >= age_s


def drop_aside(path: Path) -> None:
    """Delete a file that was set aside and its side files."""
    for suffix in SIDE_FILES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def set_aside(path: Path, why: str) -> Path:
    """Rename an undamaged file that no process has open, after a checkpoint; return its path. Raises StoreFailed."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=0)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")  # fails while another connection is open
        aside = _renamed(path, why)
        sync_folder(path.parent)
    except (sqlite3.Error, OSError) as exc:
        raise store_failure(exc, f"{path}: ") from exc
    return aside


def _renamed(path: Path, why: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    for suffix in SIDE_FILES:
        side = path.with_name(path.name + suffix)
        if side.exists():
            side.rename(path.with_name(f"{path.name}.{why}-{stamp}{suffix}"))
    return path.with_name(f"{path.name}.{why}-{stamp}")
