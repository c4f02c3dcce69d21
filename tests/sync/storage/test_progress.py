"""A task that waits for a database wakes while SQLite makes progress, and does not while it is stalled."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

import sync.storage.progress
from edge_agent.runtime.task_progress import TaskProgress, track_progress
from sync.storage.sqlite_thread import SqliteThread
from tests.limits import HANG_S

EMPTY = Migrations("nothing")


def steps_of(task: "asyncio.Task[None]") -> int:
    work = task.get_coro()
    assert isinstance(work, TaskProgress)
    return work.steps


@pytest.fixture
def works() -> tuple[threading.Event, Callable[[Database], None], Callable[[Database], None]]:
    """Two works that run until the event is set: one of many small statements (like a directory copy), one stuck."""
    over = threading.Event()

    def moves(database: Database) -> None:
        while not over.is_set():
            database.conn.execute("SELECT 1").fetchall()

    return over, moves, lambda _: over.wait() and None


async def test_long_work_wakes_its_caller_and_queued_callers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    works: tuple[threading.Event, Callable[[Database], None], Callable[[Database], None]],
) -> None:
    monkeypatch.setattr(sync.storage.progress, "_REPORT_INTERVAL_S", 0.01)
    track_progress(asyncio.get_running_loop())
    over, moves, stuck = works
    async with SqliteThread.opened(tmp_path / "some.db", EMPTY) as store:
        waits = [asyncio.create_task(store.run(moves)), asyncio.create_task(store.run(lambda _: None))]
        async with asyncio.timeout(HANG_S):
            while min(map(steps_of, waits)) < 5:
                await asyncio.sleep(0.01)
        over.set()
        await asyncio.gather(*waits)
        over.clear()
        still = asyncio.create_task(store.run(stuck))
        await asyncio.sleep(0.05)
        assert steps_of(still) == 1
        over.set()
        await still


async def test_a_cancelled_caller_returns_and_its_queued_work_is_not_started(tmp_path: Path) -> None:
    begun: list[str] = []
    over = threading.Event()
    async with SqliteThread.opened(tmp_path / "some.db", EMPTY) as store:
        first = asyncio.create_task(store.run(lambda _: over.wait()))
        second = asyncio.create_task(store.run(lambda _: begun.append("second")))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        over.set()
        assert await first
        await store.run(lambda _: begun.append("third"))
    assert begun == ["third"]
