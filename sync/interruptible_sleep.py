"""Long waits that wake every few seconds, so that a loop that waits is told from one that is stuck."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time

AWAKE_S = 3.0


async def rest(seconds: float) -> None:
    """Sleep for `seconds`."""
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        await asyncio.sleep(min(left_s, AWAKE_S))


async def happened(event: asyncio.Event, limit_s: float = math.inf) -> bool:
    """Wait until `event` is set, `limit_s` at most; whether it is."""
    until_s = time.monotonic() + limit_s
    while not event.is_set() and (left_s := until_s - time.monotonic()) > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left_s, AWAKE_S)):
                await event.wait()
    return event.is_set()
