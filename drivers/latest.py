"""Hand-over of the newest value from one producer to any number of readers."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")

WAKE_EVERY_S = 3.0  # a waiting reader wakes this often, so that the watchdog can tell it from a stuck task


class Latest(Generic[T]):
    """A slot that stores only the newest value; a value replaced before it was read is counted.

    Use it on the event loop only; a thread passes a value with `loop.call_soon_threadsafe(latest.put, value)`.
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
        """Number of values replaced before they were read."""
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
                await (
                    waiter
                )  # no task switch here: the reader must see a value before the next iteration of the loop replaces it
            finally:
                timer.cancel()
                self._waiters.discard(waiter)
        self._read = True
        return self._sequence, self._value


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
