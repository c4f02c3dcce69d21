"""One SQLite file on a dedicated thread: the event loop does not wait for the disk, and the file has one writer."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TypeVar

from sqlite_utils import Database, Migrations

from sync.errors import DamagedFile, StoreFailed, StoreFull
from sync.storage.atomic_files import sync_folder
from sync.storage.damage import (
    BUSY_S,
    Check,
    State,
    check_integrity,
    connect_read_only,
    examine,
    is_broken_structure,
    is_damage,
    read_text,
    reason,
)
from sync.storage.head_writer import HeadWriter, count_commit, counted_commits
from sync.storage.progress import Progress
from sync.storage.set_aside import DAMAGED, rename_aside

T = TypeVar("T")
log = logging.getLogger(__name__)

_WAL_PAGES = 1000
_PROGRESS_STEPS = 10_000  # of SQLite's virtual machine (some tenths of a millisecond) between two progress reports


class SqliteThread:
    """Runs functions with the database on its thread, one at a time.

    WAL and synchronous=FULL: a write that returned is on the disk (with NORMAL a power cut loses everything since the
    last checkpoint). `set_aside` is the new path of a damaged file that was renamed when this one was opened. Waiting
    tasks wake at intervals while SQLite makes progress on any of the work, and do not wake while the thread or the disk
    is stalled.
    """

    def __init__(
        self,
        thread: ThreadPoolExecutor,
        database: Database,
        progress: Progress,
        head: HeadWriter | None = None,
        set_aside: Path | None = None,
    ) -> None:
        """`head` None: the file is only read."""
        self.set_aside = set_aside
        self._thread = thread
        self._database = database
        self._progress = progress
        self._head = head
        self._damaged = False

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        path: Path,
        migrations: Migrations,
        *,
        wal_pages: int = _WAL_PAGES,
        shared: ThreadPoolExecutor | None = None,
        state: State = counted_commits,
        check: Check = lambda _: None,
    ) -> AsyncIterator[SqliteThread]:
        """Open the file at `path` and apply its migrations; a damaged file is renamed and replaced by an empty one.

        So is one that was emptied, replaced by an older copy, or lost its last commits: `FILE-head` remembers them. The
        write-ahead log is checkpointed every `wal_pages` and truncated to that size. `shared`: a thread that serves
        several files, for a simulated fleet in one process. `state` returns the identity of the file and a count that
        every commit of importance increases; `check` raises DamagedFile for rows that contradict each other. Raises
        StoreFailed if the file cannot be used for a reason other than damage.
        """
        loop, progress = asyncio.get_running_loop(), Progress()
        with _thread(shared, path.stem) as thread:
            file = _OpenFile(lambda: _open_or_set_aside(path, migrations, wal_pages, progress, state, check))
            try:
                try:
                    database, head, set_aside = await loop.run_in_executor(thread, file.open)
                except (sqlite3.Error, OSError) as exc:
                    raise store_failure(exc, f"{path}: ") from exc
                yield cls(thread, database, progress, head, set_aside)
            finally:
                await loop.run_in_executor(thread, file.close)

    @classmethod
    @asynccontextmanager
    async def reading(cls, path: Path, *, shared: ThreadPoolExecutor | None = None) -> AsyncIterator[SqliteThread]:
        """Open a second, read-only connection, which never waits for the writer. Raises StoreFailed without a file."""
        loop, progress = asyncio.get_running_loop(), Progress()
        with _thread(shared, f"{path.stem}-read") as thread:
            file = _OpenFile(lambda: (_connect_read_only(path, progress), None, None))
            try:
                try:
                    database, _, _ = await loop.run_in_executor(thread, file.open)
                except sqlite3.Error as exc:
                    raise store_failure(exc, f"{path}: ") from exc
                yield cls(thread, database, progress)
            finally:
                await loop.run_in_executor(thread, file.close)

    async def run(self, work: Callable[[Database], T]) -> T:
        """Return `work(database)`. Work that has started runs to its end even if cancelled. Raises StoreFailed.

        After DamagedFile the next start sets the file aside.
        """
        try:
            return await self._progress.until(
                asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)
            )
        except sqlite3.Error as exc:
            raise store_failure(exc) from exc

    async def touch(self) -> None:
        """Return when the thread is free. Raises DamagedFile if the file was found damaged since it was opened."""
        await self.run(lambda _: None)
        if self._damaged:
            raise DamagedFile("a database was found damaged; the next start sets it aside")

    async def write(self, work: Callable[[Database], T]) -> T:
        """`run` in one transaction."""

        def atomically(database: Database) -> T:
            with database.atomic():
                before = database.conn.total_changes
                result = work(database)
                if database.conn.total_changes != before:
                    count_commit(database)
                return result

        return await self.run(atomically)

    def _work(self, work: Callable[[Database], T]) -> T:
        try:
            result = work(self._database)
        except sqlite3.Error as exc:
            self.note_damage(exc)
            raise
        if self._head is not None:
            self._head.follow(self._database)
        return result

    def note_damage(self, exc: sqlite3.Error) -> None:
        """Called on the thread: if `exc` means damage, `touch` raises and the next start sets the file aside."""
        if self._head is not None and is_broken_structure(exc):
            self._damaged = True
            self._head.note_damage()


class _OpenFile:
    """Opens and closes a database on its thread; `close` also works if the caller was cancelled during `open`."""

    def __init__(self, opener: Callable[[], tuple[Database, HeadWriter | None, Path | None]]) -> None:
        self._opener = opener
        self._database: Database | None = None
        self._head: HeadWriter | None = None

    def open(self) -> tuple[Database, HeadWriter | None, Path | None]:
        self._database, self._head, set_aside = self._opener()
        return self._database, self._head, set_aside

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
        if self._head is not None:
            self._head.close()


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
    path: Path, migrations: Migrations, wal_pages: int, progress: Progress, state: State, check: Check
) -> tuple[Database, HeadWriter, Path | None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = None
    try:
        examine(path, migrations, state, check, lambda connection: _watch(connection, progress))
    except Exception as exc:
        if not is_damage(exc):
            raise
        aside = rename_aside(path, DAMAGED)
        log.warning("%s is damaged (%s); set aside as %s", path, reason(exc), aside.name)
    database = _open(path, migrations, wal_pages, progress)
    try:
        return database, HeadWriter(path, database, state, migrations.name), aside
    except BaseException:
        database.close()
        raise


def _open(path: Path, migrations: Migrations, wal_pages: int, progress: Progress) -> Database:
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)
    connection.text_factory = read_text
    _watch(connection, progress)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten, not only forgotten
        [page_bytes] = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA wal_autocheckpoint={wal_pages}")
        connection.execute(f"PRAGMA journal_size_limit={wal_pages * page_bytes}")
        database = Database(connection)
        migrations.apply(database)
    except BaseException:
        connection.close()
        raise
    return database


def _watch(connection: sqlite3.Connection, progress: Progress) -> None:
    connection.set_progress_handler(progress.report, _PROGRESS_STEPS)


def _connect_read_only(path: Path, progress: Progress) -> Database:
    connection = connect_read_only(path)
    _watch(connection, progress)
    return Database(connection)


def check_file(path: Path, *, limit_s: float) -> str:
    """Check the integrity of the file without changing it; return the problem, or "". Raises TimeoutError."""
    until_s = time.monotonic() + limit_s
    try:
        with closing(connect_read_only(path)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > until_s, _PROGRESS_STEPS)
            check_integrity(connection)
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise TimeoutError(f"{path} could not be read within {limit_s:g} s") from exc
        return str(exc)
    except (sqlite3.DatabaseError, DamagedFile) as exc:
        return str(exc)
    return ""


def set_aside(path: Path, why: str) -> Path:
    """Rename an undamaged file that no process has open, after a checkpoint; return its path. Raises StoreFailed."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=0)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")  # fails while another connection is open
        aside = rename_aside(path, why)
        sync_folder(path.parent)
    except (sqlite3.Error, OSError) as exc:
        raise store_failure(exc, f"{path}: ") from exc
    return aside
