"""A database file is closed, whatever happens to the task that opened it."""

import asyncio
import threading
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

from sync.storage.sqlite_thread import SqliteThread


def open_files() -> set[Path]:
    return {link.resolve() for link in Path("/proc/self/fd").iterdir()}


async def test_a_caller_that_is_cancelled_while_its_file_opens_leaves_it_closed(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    migrations = Migrations("slow")
    loop, opening, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    @migrations()
    def waits(_: Database) -> None:
        loop.call_soon_threadsafe(opening.set)
        go_on.wait()

    async def use() -> None:
        async with SqliteThread.opened(path, migrations):
            raise AssertionError("it was cancelled before")

    task = asyncio.create_task(use())
    await opening.wait()
    assert path in open_files()
    loop.call_soon(go_on.set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert path not in open_files()
