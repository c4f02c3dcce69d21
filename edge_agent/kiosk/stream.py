"""The views as server-sent events: one stream per page; a slow page skips views.

Server-sent events suffice because the data goes one way only; the browser needs no library for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import msgspec
from aiohttp import web

from config.catalogue import Catalogue
from drivers.latest import Latest
from edge_agent.kiosk.sending import send
from edge_agent.screen.view_state import ScreenView

HEARTBEAT_S = 2.0
KERNEL_BUFFER_BYTES = 16_384


def on_screen(view: ScreenView, catalogue: Catalogue) -> ScreenView:
    """`view` with private reasons replaced by their public one, without duplicates."""
    shown = dict.fromkeys(catalogue.shown("reason", reason) for reason in view.reasons)
    return msgspec.structs.replace(view, reasons=tuple(shown))


async def stream_views(
    request: web.Request, views: Latest[ScreenView], catalogue: Catalogue, edition: str
) -> web.StreamResponse:
    """Stream the edition of the page, the newest view, and later views as fast as the page reads."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    _shrink_kernel_buffer(request)
    with contextlib.suppress(ConnectionResetError, TimeoutError):  # the page was closed, or stopped reading
        await send(request, response, _event("edition", edition))
        sequence = 0
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    sequence, view = await views.after(sequence)
            except TimeoutError:
                event = _event("heartbeat", None)
            else:
                event = _event("view", on_screen(view, catalogue))
            await send(request, response, event)
    return response


def _shrink_kernel_buffer(request: web.Request) -> None:
    """Use a small kernel buffer, so that a slow page skips views instead of receiving old ones."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)


def _event(name: str, data: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))
