"""Reports the progress of long work on a thread to the tasks that wait for it, so that they do not appear stalled."""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

T = TypeVar("T")

_REPORT_INTERVAL_S = 1.0


class Progress:
    """Belongs to one thread and to the event loop on which it was created."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._moved = self._loop.create_future()
        self._reported_s = float("-inf")

    def report(self) -> None:
        """Report progress; called on the thread, at any rate."""
        now_s = time.monotonic()
        if now_s - self._reported_s >= _REPORT_INTERVAL_S:
            self._reported_s = now_s
            self._loop.call_soon_threadsafe(self._wake)

    async def until(self, done: asyncio.Future[T]) -> T:
        """Wait for the result of `done`, waking at intervals while the thread makes progress.

        `done` is cancelled with the caller. Callers resume in the order in which their work was completed.
        """
        try:
            while not done.done():
                await asyncio.wait((done, self._moved), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            done.cancel()
            raise
        return done.result()

    def _wake(self) -> None:
        """Wake every waiting task."""
        moved, self._moved = self._moved, self._loop.create_future()
        moved.set_result(None)
