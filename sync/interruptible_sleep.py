"""Long waits that wake every few seconds, so that the watchdog can distinguish a waiting task from a stalled one."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time

AWAKE_S = 3.0


async def rest(seconds: float) -> None:
    """Sleep for `seconds`, waking every AWAKE_S."""
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        await asyncio.sleep(min(left_s, AWAKE_S))


async def happened(event: asyncio.Event, limit_s: float = math.inf) -> bool:
    """Wait at most `limit_s` until `event` is set; return whether it is set."""
    until_s = time.monotonic() + limit_s
    while not event.is_set() and (left_s := until_s - time.monotonic()) > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left_s, AWAKE_S)):
                await event.wait()
    return event.is_set()
