"""The live picture as motion JPEG, for this machine's own screen and only while a person is present.

Fetching single pictures and drawing them on a canvas costs the browser twice the time (23 % versus 13 % of a core).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable

from aiohttp import web

from drivers.latest import Latest
from edge_agent.kiosk.guard import is_from_this_machine
from edge_agent.kiosk.sending import send
from edge_agent.screen.view_state import ScreenStage, ScreenView

Frames = Callable[[], bytes | None]

PERIOD_S = 1 / 16  # timers are slightly late: at least 15 pictures a second are shown
# One transparent pixel, so that no face stays on screen when the pictures end.
_TRANSPARENT_PNG = base64.b64decode(
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR42mNgAAIAAAUAAen63NgAAAAASUVORK5CYII="
)


async def stream_pictures(request: web.Request, views: Latest[ScreenView], frames: Frames | None) -> web.StreamResponse:
    """Stream the newest pictures until no person is present; 204 if there is none at the start."""
    if not is_from_this_machine(request):
        raise web.HTTPForbidden(text="Available on this machine only.\n")
    if frames is None or not _person_is_present(views):
        return web.Response(status=204)
    response = web.StreamResponse(headers={"Content-Type": "multipart/x-mixed-replace; boundary=frame"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionResetError, TimeoutError):  # the page was closed, or stopped reading
        await _send_pictures(request, response, views, frames)
        await send(request, response, _part(None))
    return response


async def _send_pictures(
    request: web.Request, response: web.StreamResponse, views: Latest[ScreenView], frames: Frames
) -> None:
    clock = asyncio.get_running_loop().time
    while _person_is_present(views):
        due_s = clock() + PERIOD_S
        await send(request, response, _part(frames()))
        await asyncio.sleep(due_s - clock())


def _person_is_present(views: Latest[ScreenView]) -> bool:
    return views.value is not None and views.value.stage is not ScreenStage.IDLE


def _part(jpeg: bytes | None) -> bytes:
    """One picture of the stream; Chromium displays it when the next one starts, 66 ms later."""
    kind, data = (b"image/jpeg", jpeg) if jpeg is not None else (b"image/png", _TRANSPARENT_PNG)
    return b"--frame\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b\r\n" % (kind, len(data), data)
