"""Hand-over of the newest value from one producer to any number of readers."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")

WAKE_EVERY_S = 3.0  # a reader that waits wakes so often: one that takes no step at all is stuck


class Latest(Generic[T]):
    """A slot where the newest value wins; a value that nobody read before the next one came counts as replaced.

    Used on the event loop only: a thread hands over with `loop.call_soon_threadsafe(latest.put, value)`.
    """

    def __init__(self) -> None:
        self._value: T | None = None
        self._sequence = 0
        self._read = True
        self._replaced = 0
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def value(self) -> T | None:
        """The newest value, None before the first."""
        self._read = True
        return self._value

    @property
    def sequence(self) -> int:
        """Number of values put so far."""
        return self._sequence

    @property
    def replaced(self) -> int:
        """Number of values that were replaced unread."""
        return self._replaced

    def put(self, value: T) -> None:
        """Replace the value and wake every waiter."""
        if not self._read:
            self._replaced += 1
        self._value, self._read = value, False
        self._sequence += 1
        for waiter in self._waiters:
            _wake(waiter)
        self._waiters.clear()

    async def after(self, sequence: int) -> tuple[int, T]:
        """The newest value once more than `sequence` values were put, with the number to pass next time."""
        while self._sequence <= sequence or self._value is None:
            loop = asyncio.get_running_loop()
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.add(waiter)
            timer = loop.call_later(WAKE_EVERY_S, _wake, waiter)
            try:
                await waiter  # alone: whoever waits must see a value before the next turn of the loop replaces it
            finally:
                timer.cancel()
                self._waiters.discard(waiter)
        self._read = True
        return self._sequence, self._value


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
