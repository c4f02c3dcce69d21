"""Reopens a lost device with exponential backoff, at least once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from drivers.device_health import DeviceHealth
from drivers.errors import DeviceLost

RETRY_FIRST_S = 0.2
RETRY_CAP_S = 1.0  # a reconnected device is read again well within 3 s


async def keep_open(read_until_lost: Callable[[], Awaitable[None]], device_health: DeviceHealth) -> NoReturn:
    """Call `read_until_lost` repeatedly until cancelled; a connection longer than RETRY_CAP_S resets the backoff."""
    pause_s = RETRY_FIRST_S
    while True:
        opened_s = time.monotonic()
        try:
            await read_until_lost()
        except DeviceLost as exc:
            device_health.lost(str(exc))
        if time.monotonic() - opened_s > RETRY_CAP_S:
            pause_s = RETRY_FIRST_S
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, RETRY_CAP_S)
