"""Keeps a connection open: reconnects with full jitter."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NoReturn

from sync.errors import DuplicateDevice, LinkError, StoreFailed, SyncError, leaf_exceptions
from sync.interruptible_sleep import rest
from sync.mqtt.connection import Connection
from sync.mqtt.packets import Options

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retry:
    """Pause before retry n: random(0, min(`cap_s`, spread * 2**n)); n is reset after a connection of `stable_s`.

    The spread is 1 s, or the value that the platform sends for the size of its fleet. Without jitter all boxes of a
    district would reconnect within one second. After DuplicateDevice the pause is between half of `duplicate_s` and
    `duplicate_s`, so that two devices of one name do not disconnect each other continuously.
    """

    cap_s: float = 60.0
    stable_s: float = 60.0
    duplicate_s: float = 600.0

    def pause_s(self, tries: int, spread_s: float = 1.0) -> float:
        return random.SystemRandom().uniform(0, min(self.cap_s, spread_s * 2.0 ** min(tries, 30)))

    def duplicate_pause_s(self) -> float:
        return random.SystemRandom().uniform(0.5, 1) * self.duplicate_s


async def stay_connected(
    name: str,
    options: Callable[[], Options],
    serve: Callable[[Connection], Coroutine[Any, Any, None]],
    retry: Retry,
    on_lost: Callable[[SyncError], None] = lambda _: None,
    spread_s: Callable[[], float] = lambda: 1.0,
) -> NoReturn:
    """Connect with new `options`, `serve` the connection, and reconnect after a LinkError or StoreFailed.

    Logs once when the connection is lost and once when it is back.
    """
    lost = False
    tries = 0
    while True:
        since_s = time.monotonic()
        duplicate = False
        try:
            async with Connection.open(options()) as connection:
                if lost:
                    log.info("%s: connected again", name)
                    lost = False
                await _in_own_task(serve(connection))
        except* (LinkError, StoreFailed) as group:
            why = next(leaf_exceptions(group))
            duplicate = isinstance(why, DuplicateDevice)
            if not lost:
                log.warning("%s: not connected: %s", name, why)
                lost = True
            on_lost(why)
        if time.monotonic() - since_s >= retry.stable_s:
            tries = 0
        await rest(retry.duplicate_pause_s() if duplicate else retry.pause_s(tries, spread_s()))
        tries += 1


async def _in_own_task(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` in a separate task, so that a cancellation is not lost.

    Up to Python 3.12 a task group drops its cancellation when one of its tasks fails at the same time; the caller would
    then reconnect instead of ending.
    """
    task = asyncio.create_task(work, name="connection")
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    task.result()
