"""Staying connected: one connection after the other, with full jitter between them."""

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
    """Pause before try n: random(0, min(`cap_s`, spread * 2**n)); n starts anew after `stable_s` of one connection.

    The spread is 1 s, or what the platform says for a fleet of its size. Without jitter a whole district comes back in
    one second. Two devices of one name leave each other alone for `contested_s`, or half of it.
    """

    cap_s: float = 60.0
    stable_s: float = 60.0
    contested_s: float = 600.0

    def pause_s(self, tries: int, spread_s: float = 1.0) -> float:
        return random.SystemRandom().uniform(0, min(self.cap_s, spread_s * 2.0 ** min(tries, 30)))

    def contested_pause_s(self) -> float:
        return random.SystemRandom().uniform(0.5, 1) * self.contested_s


async def stay_connected(
    name: str,
    options: Callable[[], Options],
    serve: Callable[[Connection], Coroutine[Any, Any, None]],
    retry: Retry,
    on_lost: Callable[[SyncError], None] = lambda _: None,
    spread_s: Callable[[], float] = lambda: 1.0,
) -> NoReturn:
    """Connect by fresh `options`, `serve` the connection, and begin again when the link or the disk fails it.

    Logs once when the link is lost and once when it is back.
    """
    lost = False
    tries = 0
    while True:
        since_s = time.monotonic()
        contested = False
        try:
            async with Connection.open(options()) as connection:
                if lost:
                    log.info("%s: connected again", name)
                    lost = False
                await _apart(serve(connection))
        except* (LinkError, StoreFailed) as group:
            why = next(leaf_exceptions(group))
            contested = isinstance(why, DuplicateDevice)
            if not lost:
                log.warning("%s: not connected: %s", name, why)
                lost = True
            on_lost(why)
        if time.monotonic() - since_s >= retry.stable_s:
            tries = 0
        await rest(retry.contested_pause_s() if contested else retry.pause_s(tries, spread_s()))
        tries += 1


async def _apart(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` in a task of its own: a task group forgets that it was cancelled when one of its tasks fails then.

    So it is up to Python 3.12, and we would connect again for somebody who has told us to end.
    """
    task = asyncio.create_task(work, name="connection")
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    task.result()
