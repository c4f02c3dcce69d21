"""Whether a thread gets on with a long work, told to those who wait for it: they take a step, and do not look stuck."""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

T = TypeVar("T")

_TELL_EVERY_S = 1.0


class Progress:
    """Belongs to one thread and to the event loop on which it was made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._moved = self._loop.create_future()
        self._told_s = float("-inf")

    def note(self) -> None:
        """On the thread, however often: the work got on."""
        now_s = time.monotonic()
        if now_s - self._told_s >= _TELL_EVERY_S:
            self._told_s = now_s
            self._loop.call_soon_threadsafe(self._wake)

    async def until(self, done: asyncio.Future[T]) -> T:
        """The result of `done`, which is cancelled with whoever waits; wakes now and then while the thread gets on.

        Those whose work was done first go on first.
        """
        try:
            while not done.done():
                await asyncio.wait((done, self._moved), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            done.cancel()
            raise
        return done.result()

    def _wake(self) -> None:
        """Wake everybody who waits now."""
        moved, self._moved = self._moved, self._loop.create_future()
        moved.set_result(None)
