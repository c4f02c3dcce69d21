"""An event loop with virtual time and seeded scheduling: the same seed always gives the same run.

The loop never sleeps: without a ready callback the clock advances to the next timer. Work for threads runs on the loop
some virtual milliseconds later. The seed selects the next ready process; within a process callbacks run in the order
that asyncio guarantees.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import os
import random
import time
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from datetime import datetime, tzinfo
from itertools import count
from typing import Any
from unittest.mock import patch

BEGIN_S = 1_650_000_000.0  # wall time at which every run begins
_STEP_S = 0.0002  # a step takes up to so long
_STEPS = 500_000  # a run that takes more goes round in circles
_JOB_S = 0.005  # and work in a thread up to so long
_ASK_FOR_THE_PRESENT = (
    "sync.contract.envelope",
    "sync.edge.ledger.system_clock",
    "sync.platform.records.batch",
    "sync.platform.fleet.box_requests",
    "sync.storage.set_aside",
)


class Process:
    """Tasks that are killed together; `wall_offset_s` is the clock error of its machine. A kill clears `alive`."""

    def __init__(self, name: str, wall_offset_s: float = 0.0) -> None:
        self.name = name
        self.wall_offset_s = wall_offset_s
        self.alive = True
        self.on_death: list[Callable[[], None]] = []

    def die(self) -> None:
        """Simulate SIGKILL: later actions of the process have no effect outside."""
        self.alive = False
        for each in self.on_death:
            each()


NOBODY = Process("the world")
running_process: ContextVar[Process] = ContextVar("running_process", default=NOBODY)


class _Task(asyncio.Task[Any]):
    """A task whose hash does not depend on its address, so that sets have a deterministic order."""

    _numbers = count()

    def __init__(self, coroutine: Coroutine[Any, Any, Any], *, loop: VirtualLoop, **more: Any) -> None:
        self._number = next(self._numbers)
        super().__init__(coroutine, loop=loop, **more)

    def __hash__(self) -> int:
        return self._number


def _make_task(loop: VirtualLoop, coroutine: Coroutine[Any, Any, Any], **more: Any) -> _Task:
    return _Task(coroutine, loop=loop, **more)


class VirtualLoop(asyncio.BaseEventLoop):
    """`steps` counts executed callbacks; `before_step` is called before each."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self.steps = 0
        self.before_step: Callable[[], None] = lambda: None
        self._dice = dice
        self._now_s = 1000.0
        self._jobs: dict[object, deque[Callable[[], None]]] = defaultdict(deque)
        _Task._numbers = count()
        self.set_task_factory(_make_task)  # type: ignore[arg-type]

    def time(self) -> float:
        return self._now_s

    def start(self, process: Process, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `coroutine` and all tasks that it starts as `process`."""
        context = copy_context()
        context.run(running_process.set, process)
        return self.create_task(coroutine, name=process.name, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        future = self.create_future()
        jobs = self._jobs[executor]

        def work() -> None:
            if future.cancelled() and self._dice.random() < 0.5:
                return  # it had not begun; else it runs to its end, and nobody hears of it
            try:
                result = func(*args)
            except Exception as exc:  # noqa: BLE001 - it belongs to whoever waits
                if not future.cancelled():
                    future.set_exception(exc)
            else:
                if not future.cancelled():
                    future.set_result(result)

        jobs.append(work)
        self.call_later(self._dice.uniform(0, _JOB_S), lambda: jobs.popleft()())
        return future

    def _run_once(self) -> None:
        self._drop_cancelled()
        if not self._ready and not self._stopping:
            if not self._scheduled:
                raise RuntimeError("everybody waits, and for nothing")
            self._now_s = max(self._now_s, self._scheduled[0]._when)
        while self._scheduled and self._scheduled[0]._when <= self._now_s:
            due = heapq.heappop(self._scheduled)
            due._scheduled = False
            self._ready.append(due)
        if self._ready:
            self.before_step()
            self.steps += 1
            if self.steps > _STEPS:
                raise RuntimeError(f"no end after {_STEPS} steps")
            self._now_s += self._dice.uniform(0, _STEP_S)
            handle = self._take()
            if not handle._cancelled:
                handle._run()

    def _drop_cancelled(self) -> None:
        while self._scheduled and self._scheduled[0]._cancelled:
            heapq.heappop(self._scheduled)._scheduled = False
            self._timer_cancelled_count -= 1

    def _take(self) -> asyncio.Handle:
        owners = [handle._context.get(running_process, NOBODY) for handle in self._ready]
        chosen = self._dice.choice(list(dict.fromkeys(owners)))
        place = owners.index(chosen)
        handle: asyncio.Handle = self._ready[place]
        del self._ready[place]
        return handle

    def _write_to_self(self) -> None:
        """Nothing to wake: the loop never sleeps."""


class _Datetime:
    """Replaces the `datetime` class where the current time is read, because a C type cannot be patched."""

    def __init__(self, wall_s: Callable[[], float]) -> None:
        self._wall_s = wall_s

    def now(self, zone: tzinfo) -> datetime:
        return datetime.fromtimestamp(self._wall_s(), zone)

    def __getattr__(self, name: str) -> Any:
        return getattr(datetime, name)


@contextmanager
def virtual_world(seed: int) -> Iterator[VirtualLoop]:
    """Within the block, clocks and random numbers of `sync` come from the loop and its seed."""
    loop = VirtualLoop(random.Random(seed))
    entropy = random.Random(seed + 1)

    def wall_s() -> float:
        return max(0.0, BEGIN_S + loop.time() + running_process.get().wall_offset_s)

    stand_in = _Datetime(wall_s)
    patches = [
        patch.object(time, "monotonic", loop.time),
        patch.object(time, "monotonic_ns", lambda: int(loop.time() * 1e9)),
        patch.object(time, "time", wall_s),
        patch.object(time, "time_ns", lambda: int(wall_s() * 1e9)),
        patch.object(os, "urandom", entropy.randbytes),
        patch.object(random, "_urandom", entropy.randbytes),
        *(patch(f"{module}.datetime", stand_in) for module in _ASK_FOR_THE_PRESENT),
    ]
    gc.disable()  # what it finds, and when, depends on the machine
    try:
        for each in patches:
            each.start()
        yield loop
    finally:
        for each in reversed(patches):
            each.stop()
        loop.close()
        gc.enable()
