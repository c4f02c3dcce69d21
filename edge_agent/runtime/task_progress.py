"""Counts how often every task was resumed, to distinguish a stalled task from a running one."""

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
        """File and line where the task waits, outside asyncio; "?" where unknown."""
        inner: Any = self._work
        location = "?"
        while isinstance(inner, CoroutineType) and (frame := inner.cr_frame) is not None:
            file = Path(frame.f_code.co_filename)
            location = location if file.parent == _ASYNCIO else f"{file.name}:{frame.f_lineno}"
            inner = inner.cr_await
        return location

    def send(self, value: Any) -> Any:
        """Resume the coroutine."""
        self.steps += 1
        return self._work.send(value)

    def throw(self, *failure: Any) -> Any:
        """Resume the coroutine with an exception."""
        self.steps += 1
        return self._work.throw(*failure)

    def close(self) -> None:
        """Close the coroutine."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._work.__await__()


def track_progress(loop: asyncio.AbstractEventLoop) -> None:
    """Count the steps of every task that `loop` creates from now on."""
    loop.set_task_factory(_counted)


def _counted(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any] | Generator[Any, None, Any], **options: Any
) -> asyncio.Task[Any]:
    if not isinstance(work, Coroutine):
        raise TypeError(f"a task needs a coroutine, not {work!r}")
    return asyncio.Task(TaskProgress(work, asyncio.current_task(loop)), loop=loop, **options)


def loops() -> dict[asyncio.Task[Any], TaskProgress]:
    """The named tasks that are not done, without the calling task and without the parents of named tasks.

    A parent waits for its task group, so it makes progress only when its children end.
    """
    named = {
        task: work
        for task in asyncio.all_tasks()
        if isinstance(work := task.get_coro(), TaskProgress) and not task.get_name().startswith("Task-")
    }
    parents = {work.parent() for work in named.values() if work.parent is not None}
    return {task: work for task, work in named.items() if task not in parents and task is not asyncio.current_task()}
