"""A device that is lost is opened again, soon at first and never more seldom than once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from drivers.device_health import DeviceHealth
from drivers.errors import DeviceLost

RETRY_FIRST_S = 0.2
RETRY_CAP_S = 1.0  # a device that returns is read again well under 3 s


async def keep_open(read_until_lost: Callable[[], Awaitable[None]], device_health: DeviceHealth) -> NoReturn:
    """Read opening after opening until cancelled; after one that lasted the pauses begin anew."""
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
