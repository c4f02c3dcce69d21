"""The live picture as motion JPEG: for this machine's own screen, and only while somebody stands there.

Single pictures fetched and drawn on a canvas by the page cost the browser twice the time (23 % against 13 % of a core).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable

from aiohttp import web

from drivers.latest import Latest
from edge_agent.kiosk.guard import is_loopback
from edge_agent.kiosk.sending import send
from edge_agent.screen.view_state import ScreenStage, ScreenView

Frames = Callable[[], bytes | None]

PERIOD_S = 1 / 16  # the timer is late by a little each time: 15 and more are shown
# One transparent pixel, so that nobody's face stays on screen when the pictures end.
_NOTHING = base64.b64decode(
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR42mNgAAIAAAUAAen63NgAAAAASUVORK5CYII="
)


async def stream_pictures(request: web.Request, views: Latest[ScreenView], frames: Frames | None) -> web.StreamResponse:
    """Answer `request` with pictures, newest wins, until nobody is there; 204 where that is so already."""
    if not is_loopback(request):
        raise web.HTTPForbidden(text="The picture does not leave this machine.\n")
    if frames is None or not _somebody_is_there(views):
        return web.Response(status=204)
    response = web.StreamResponse(headers={"Content-Type": "multipart/x-mixed-replace; boundary=frame"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionResetError, TimeoutError):  # the page left, or takes nothing any more
        await _send_pictures(request, response, views, frames)
        await send(request, response, _part(None))
    return response


async def _send_pictures(
    request: web.Request, response: web.StreamResponse, views: Latest[ScreenView], frames: Frames
) -> None:
    clock = asyncio.get_running_loop().time
    while _somebody_is_there(views):
        due_s = clock() + PERIOD_S
        await send(request, response, _part(frames()))
        await asyncio.sleep(due_s - clock())


def _somebody_is_there(views: Latest[ScreenView]) -> bool:
    return views.value is not None and views.value.stage is not ScreenStage.IDLE


def _part(jpeg: bytes | None) -> bytes:
    """One picture of the stream; Chromium shows it when the next one begins, 66 ms later."""
    kind, data = (b"image/jpeg", jpeg) if jpeg is not None else (b"image/png", _NOTHING)
    return b"--frame\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b\r\n" % (kind, len(data), data)
