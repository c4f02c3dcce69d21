"""Sends to one page without queueing."""

from __future__ import annotations

import asyncio

from aiohttp import web

SLOW_CLIENT_S = 10.0
BUFFER_POLL_S = 0.02


async def send(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    """Write `data` and wait until the kernel has taken it, so that a slow page skips data instead of queueing it.

    Raises ConnectionResetError if the page was closed, TimeoutError if it reads nothing for SLOW_CLIENT_S.
    """
    await response.write(data)
    async with asyncio.timeout(SLOW_CLIENT_S):
        while request.transport is not None and request.transport.get_write_buffer_size():
            await asyncio.sleep(BUFFER_POLL_S)
