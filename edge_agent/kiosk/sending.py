"""Sending to one page without ever queueing for it."""

from __future__ import annotations

import asyncio

from aiohttp import web

SLOW_CLIENT_S = 10.0
BUFFER_POLL_S = 0.02


async def send(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    """Write `data` and wait until the kernel took it: a page that falls behind skips news and piles up none.

    Raises ConnectionResetError when the page is gone and TimeoutError when it takes nothing for SLOW_CLIENT_S.
    """
    await response.write(data)
    async with asyncio.timeout(SLOW_CLIENT_S):
        while request.transport is not None and request.transport.get_write_buffer_size():
            await asyncio.sleep(BUFFER_POLL_S)
