"""Measures the live picture in a real browser: pictures per second, and CPU use of the agent and Chromium.

Compares the motion JPEG of the page with JPEG over a WebSocket, drawn on a canvas; prints JSON. Pictures are counted
when they are encoded, one after the other; CPU time includes all processes of Chromium. Needs Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import cv2
import numpy as np
import psutil
from aiohttp import web
from playwright.async_api import Page, async_playwright

from bench.path import machine
from edge_agent.kiosk.picture import PERIOD_S
from edge_agent.screen.camera_jpeg import JPEG_OPTIONS
from edge_agent.screen.view_state import ScreenStage
from tests.drawn import bare_face
from tests.edge_agent.kiosk.stand import Stand, changed
from tests.ports import free_port

CHROMIUM = "/usr/bin/chromium"
VIEWPORT = {"width": 800, "height": 480}
FACE = (0.3, 0.2, 0.3, 0.5)

CANVAS = """<!doctype html><title>canvas</title><style>canvas{width:100%}</style><canvas id="c"></canvas><script>
const canvas = document.getElementById("c"); const ink = canvas.getContext("2d");
const socket = new WebSocket(`ws://${location.host}/pictures`); socket.binaryType = "blob";
socket.onmessage = async (message) => {
  const picture = await createImageBitmap(message.data);
  canvas.width = picture.width; canvas.height = picture.height;
  ink.drawImage(picture, 0, 0); picture.close();
};
</script>"""


class Film:
    """A picture of a person that moves slightly from frame to frame, encoded as by the agent."""

    def __init__(self) -> None:
        self.made = 0
        photo = bare_face()
        self._shifts = itertools.cycle(np.roll(photo, shift, axis=1) for shift in range(0, 64, 4))

    def jpeg(self) -> bytes:
        self.made += 1
        return bytes(cv2.imencode(".jpg", next(self._shifts), JPEG_OPTIONS)[1])


async def socket_pictures(film: Film, request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    with contextlib.suppress(ConnectionError):
        while not socket.closed:
            await socket.send_bytes(film.jpeg())
            await asyncio.sleep(PERIOD_S)
    return socket


def chromium_s(root: psutil.Process) -> float:
    """CPU seconds used by all processes of the browser."""
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def browser_process() -> psutil.Process:
    """The browser process started by playwright."""
    found = [each for each in psutil.Process().children(recursive=True) if "chrom" in each.name()]
    return min(found, key=lambda each: each.create_time())


async def shares(film: Film, root: psutil.Process, seconds: float) -> dict[str, float]:
    """Pictures per second, and CPU use in percent of one core, over `seconds`."""
    made, began_s, chromium, own = film.made, time.perf_counter(), chromium_s(root), time.process_time()
    await asyncio.sleep(seconds)
    took_s = time.perf_counter() - began_s
    return {
        "pictures_per_s": round((film.made - made) / took_s, 1),
        "chromium_percent": round(100 * (chromium_s(root) - chromium) / took_s, 1),
        "agent_percent": round(100 * (time.process_time() - own) / took_s, 1),
    }


async def measured(prepare: Callable[[Page], Awaitable[Any]], film: Film, seconds: float) -> dict[str, float]:
    """`shares` of a page in a new browser, after `prepare` opened it."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(viewport=VIEWPORT)
        await prepare(page)
        await asyncio.sleep(1.0)
        found = await shares(film, browser_process(), seconds)
        await browser.close()
        return found


async def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    seconds = parser.parse_args().seconds
    film = Film()
    stand = Stand(film.jpeg)
    await stand.start()
    canvas = web.Application()
    canvas.router.add_get("/", lambda _: web.Response(text=CANVAS, content_type="text/html"))
    canvas.router.add_get("/pictures", lambda request: socket_pictures(film, request))
    runner = web.AppRunner(canvas)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()

    async def still(page: Page) -> None:
        stand.views.put(changed(serial=1))
        await page.goto(stand.url)

    async def motion_jpeg(page: Page) -> None:
        await page.goto(stand.url)
        stand.views.put(changed(serial=2, stage=ScreenStage.MEASURING, face=FACE))

    async def web_socket(page: Page) -> None:
        await page.goto(f"http://127.0.0.1:{port}/")

    result = {
        "machine": machine(),
        "jpeg_bytes": len(film.jpeg()),
        "page_without_picture": await measured(still, film, seconds),
        "motion_jpeg": await measured(motion_jpeg, film, seconds),
        "web_socket_on_canvas": await measured(web_socket, film, seconds),
    }
    await runner.cleanup()
    await stand.stop()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
