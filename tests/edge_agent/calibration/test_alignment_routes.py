"""Who may touch the page of the alignment, and what it answers when something is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import requests
from aiohttp import web

from drivers.camera.camera import make_camera
from drivers.contract import CameraFrame, ThermalFrame
from drivers.thermometers.table import make_thermometer
from edge_agent.calibration.view import alignment_page
from edge_agent.calibration.view.alignment import PLACES, Alignment
from edge_agent.calibration.view.alignment_page import AlignRoutes
from edge_agent.calibration.view.warm_spot import LEAST_READINGS
from edge_agent.kiosk.guard import HEADERS
from edge_agent.kiosk.serving import guarded, serve
from edge_agent.measurement.camera_to_thermal import Size
from tests.described import Described, in_a_thread
from tests.limits import HANG_S
from tests.ports import free_port

DOCUMENT = Described(Path(alignment_page.__file__).with_name("align.openapi.yaml"))


class Page:
    """The page over a camera and a thermometer that only the test feeds."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.alignment = Alignment(mirror=True)
        self.camera = make_camera(source="/dev/null")
        self.thermometer = make_thermometer(driver="gy-mcu90640", port="/dev/null")
        self.kept: list[Size] = []
        self.disk_full = False

    def keep(self, camera_size: Size) -> None:
        if self.disk_full:
            raise OSError(28, "No space left on device")
        self.kept.append(camera_size)

    def give(self, at: tuple[float, float] = (0.5, 0.5)) -> None:
        """One camera picture, and a second of a still cup at `at` of the thermal picture."""
        self.camera.device_health.ok()
        self.thermometer.device_health.ok()
        self.camera.frames.put(CameraFrame(np.zeros((480, 640, 3), np.uint8), 1.0, 1))
        pixels_c = np.full((24, 32), 24.0, np.float32)
        column, row = round(at[0] * 32), round(at[1] * 24)
        pixels_c[row - 1 : row + 1, column - 1 : column + 1] = 50.0
        for second in range(LEAST_READINGS):
            self.alignment.add_thermal(ThermalFrame(pixels_c, 24.0, float(second)))

    def application(self) -> web.Application:
        application = guarded("127.0.0.1")
        AlignRoutes(self.alignment, self.camera, self.thermometer, self.keep).add_to(application.router)
        return application


@asynccontextmanager
async def opened_page() -> AsyncIterator[Page]:
    """The page, served."""
    page = Page()
    serving = asyncio.create_task(serve(page.application(), "127.0.0.1", int(page.url.rsplit(":", 1)[1])))
    async with asyncio.timeout(HANG_S), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(page.url):
                    break
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.01)
    yield page
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with opened_page() as page:
        yield page


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def test_the_document_lists_every_route_and_no_other() -> None:
    DOCUMENT.check_routes(Page().application())


def test_the_document_describes_the_body_as_it_is_decoded() -> None:
    DOCUMENT.check_body(alignment_page._Touch)


@asynccontextmanager
async def fed_page() -> AsyncIterator[str]:
    async with opened_page() as page:
        page.give()
        yield page.url


def test_no_request_makes_it_stumble() -> None:
    with in_a_thread(fed_page) as url, requests.Session() as session:
        seen = DOCUMENT.tried(url, session)
    assert seen["/state"] == seen["/picture.jpg"] == {200}
    assert {200, 400, 409} <= seen["/touch"]


async def test_four_touches_and_keep(page: Page, session: aiohttp.ClientSession) -> None:
    for x, y in PLACES:
        async with session.post(f"{page.url}/keep", json={}) as answer:
            assert answer.status == 409
        page.give((x, y))
        async with session.post(f"{page.url}/touch", json={"x": x, "y": y}) as answer:
            assert (answer.status, await answer.json()) == (200, {"fault": None})
    async with session.get(f"{page.url}/state") as answer:
        state = await answer.json()
    DOCUMENT.check(state, "State")
    assert state["residual_px"] < 0.5
    assert state["spot_on_camera"] == pytest.approx(PLACES[-1], abs=0.02)
    page.disk_full = True
    async with session.post(f"{page.url}/keep", json={}) as answer:
        assert answer.status == 507
        assert "No space left" in (await answer.json())["fault"]["en"]
    page.disk_full = False
    page.thermometer.device_health.lost("unplugged")
    async with session.post(f"{page.url}/keep", json={}) as answer:
        assert answer.status == 409
        assert "unplugged" in (await answer.json())["fault"]["en"]
    page.thermometer.device_health.ok()
    async with session.post(f"{page.url}/keep", json={}) as answer:
        assert answer.status == 200
    assert page.kept == [(640, 480)]


async def test_a_device_that_is_missing_is_named(page: Page, session: aiohttp.ClientSession) -> None:
    async with session.get(f"{page.url}/state") as answer:
        assert "The camera gives no picture (starting)" in (await answer.json())["fault"]["en"]
    async with session.get(f"{page.url}/picture.jpg") as answer:
        assert answer.status == 204
    page.give()
    page.thermometer.device_health.lost("unplugged")
    async with session.post(f"{page.url}/touch", json={"x": 0.5, "y": 0.5}) as answer:
        assert answer.status == 409
        assert "测温仪没有画面（unplugged）" in (await answer.json())["fault"]["zh"]
    async with session.get(f"{page.url}/picture.jpg") as answer:
        assert answer.content_type == "image/jpeg"


@pytest.mark.parametrize("path", ["touch", "again", "keep"])
async def test_another_site_may_not_touch(page: Page, session: aiohttp.ClientSession, path: str) -> None:
    page.give()
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        async with session.post(f"{page.url}/{path}", json={"x": 0.5, "y": 0.5}, headers=headers) as answer:
            assert answer.status in (403, 421)
    assert page.alignment.touches == ()


@pytest.mark.parametrize("body", [{"x": 1.5, "y": 0}, {"x": "1", "y": 0}, {"x": 0.5}, []])
async def test_nonsense_touches_are_refused(page: Page, session: aiohttp.ClientSession, body: object) -> None:
    page.give()
    async with session.post(f"{page.url}/touch", json=body) as answer:
        assert answer.status == 400


async def test_every_answer_is_guarded(page: Page, session: aiohttp.ClientSession) -> None:
    for path in ("", "align.js", "align.css", "state", "events"):
        async with session.get(f"{page.url}/{path}") as answer:
            assert answer.status == 200
            assert HEADERS.items() <= dict(answer.headers).items()
    async with session.get(f"{page.url}/api/status") as answer:
        assert answer.status == 404
