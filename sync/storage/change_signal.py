"""Notifies subscribers when a store changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class ChangeSignal:
    """The subscribers of one store."""

    def __init__(self) -> None:
        self._subscribers: dict[asyncio.Event, None] = {}  # notified in order

    @contextmanager
    def subscribe(self, event: asyncio.Event) -> Iterator[None]:
        """Within the block, set `event` at every change."""
        self._subscribers[event] = None
        try:
            yield
        finally:
            del self._subscribers[event]

    def notify(self) -> None:
        """Set the event of every subscriber."""
        for event in self._subscribers:
            event.set()
