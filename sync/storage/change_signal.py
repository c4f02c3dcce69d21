"""Who follows a store is woken when it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class ChangeSignal:
    """The followers of one store."""

    def __init__(self) -> None:
        self._followers: set[asyncio.Event] = set()

    @contextmanager
    def waking(self, event: asyncio.Event) -> Iterator[None]:
        """While the block lasts, `event` is set at every change."""
        self._followers.add(event)
        try:
            yield
        finally:
            self._followers.discard(event)

    def tell(self) -> None:
        """Something changed."""
        for event in self._followers:
            event.set()
