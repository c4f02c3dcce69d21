"""Counts the steps of every task, so that one that stands still is told from one that goes on."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Coroutine, Generator
from pathlib import Path
from types import CoroutineType
from typing import Any

_ASYNCIO = Path(asyncio.__file__).parent


class TaskProgress(Coroutine[Any, Any, Any]):
    """A coroutine that counts how often its task was resumed; `parent` is the task that created it."""

    __slots__ = ("_work", "parent", "steps")

    def __init__(self, work: Coroutine[Any, Any, Any], parent: asyncio.Task[Any] | None) -> None:
        self.steps = 0
        self.parent = None if parent is None else weakref.ref(parent)
        self._work = work

    @property
    def where(self) -> str:
        """File and line at which it waits, of what is not asyncio's."""
        inner: Any = self._work
        place = "?"
        while isinstance(inner, CoroutineType) and (frame := inner.cr_frame) is not None:
            file = Path(frame.f_code.co_filename)
            place = place if file.parent == _ASYNCIO else f"{file.name}:{frame.f_lineno}"
            inner = inner.cr_await
        return place

    def send(self, value: Any) -> Any:
        """Resume the work."""
        self.steps += 1
        return self._work.send(value)

    def throw(self, *failure: Any) -> Any:
        """Resume the work with an exception."""
        self.steps += 1
        return self._work.throw(*failure)

    def close(self) -> None:
        """End the work."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._work.__await__()


def track_progress(loop: asyncio.AbstractEventLoop) -> None:
    """Count the steps of all tasks that `loop` creates from now on."""
    loop.set_task_factory(_counted)


def _counted(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any] | Generator[Any, None, Any], **options: Any
) -> asyncio.Task[Any]:
    if not isinstance(work, Coroutine):
        raise TypeError(f"a task is made of a coroutine, not of {work!r}")
    return asyncio.Task(TaskProgress(work, asyncio.current_task(loop)), loop=loop, **options)


def loops() -> dict[asyncio.Task[Any], TaskProgress]:
    """The living tasks that somebody gave a name, without the one that asks and without those that hold others.

    Whoever holds a group of named tasks waits for them and is as alive as they are.
    """
    named = {
        task: work
        for task in asyncio.all_tasks()
        if isinstance(work := task.get_coro(), TaskProgress) and not task.get_name().startswith("Task-")
    }
    holders = {work.parent() for work in named.values() if work.parent is not None}
    return {task: work for task, work in named.items() if task not in holders and task is not asyncio.current_task()}
