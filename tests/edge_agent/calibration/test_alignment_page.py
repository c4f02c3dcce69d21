"""`edge-agent calibrate view` as an installer uses it: simulated wires, a real browser, one cup of hot water."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from playwright.async_api import Page

from drivers.simulated.devices.camera import HEIGHT, WIDTH, SimulatedCamera
from drivers.simulated.devices.thermal_scene import SimulatedThermometer, WarmFace
from drivers.simulated.devices.wire import PtyWire
from edge_agent.calibration.view.alignment import PLACES
from edge_agent.calibration.view.view_file import FILE_NAME, ViewCalibration, load_view
from edge_agent.measurement.camera_to_thermal import CameraToThermal, Point
from tests.browser import chromium, open_page
from tests.edge_agent.kiosk.stand import Stand
from tests.edge_agent.kiosk.test_page import SIZES
from tests.limits import HANG_S
from tests.ports import free_port

MOUNTED = CameraToThermal((1.2, 0.06, -0.15), (-0.05, 1.1, 0.02))
OFF_THE_PAGE = """() => [...document.querySelectorAll("button, h1, h2, .say, .frame, #zh, #en")].filter((element) => {
  const box = element.getBoundingClientRect();
  return box.left < 0 || box.top < 0 || box.right > innerWidth + 1 || box.bottom > innerHeight + 1
    || element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 2;
}).map((element) => element.id || element.className || element.textContent)"""


class Bench:
    """A camera and a thermometer that look at one cup; where it is, is the test's to say."""

    def __init__(self, folder: Path, mirror: bool) -> None:
        self.cup: Point | None = None
        self.config = folder / "sentinel.toml"
        self.data = folder / "data"
        self.port = free_port()
        self.camera = SimulatedCamera(self._picture, seed=4)
        self.thermometer = SimulatedThermometer(PtyWire(folder / "thermometer"), self._warmth, seed=4)
        self._wall = np.full((HEIGHT, WIDTH, 3), (150, 158, 160), np.uint8)
        cv2.rectangle(self._wall, (60, 60), (250, 400), (90, 100, 150), -1)
        self._mirror = mirror

    def write_settings(self) -> None:
        self.config.write_text(
            f"[box]\ndata_dir = {json.dumps(str(self.data))}\n[camera]\nsource = {json.dumps(self.camera.url)}\n"
            f"[thermometer]\nport = {json.dumps(str(self.config.parent / 'thermometer'))}\n"
            f"mirror = {str(self._mirror).lower()}\n[kiosk]\nport = {self.port}\n",
            encoding="utf-8",
        )

    def _picture(self) -> NDArray[np.uint8]:
        picture = self._wall.copy()
        if self.cup:
            x, y = round(self.cup[0] * WIDTH), round(self.cup[1] * HEIGHT)
            cv2.rectangle(picture, (x - 30, y - 40), (x + 30, y + 40), (40, 40, 220), -1)
        return picture

    def seen(self, at: Point) -> Point:
        """Where the box believes to see the cup that is at `at` of the camera's picture."""
        x, y = MOUNTED.at(at)
        return x if self._mirror else 1 - x, y

    def _warmth(self) -> WarmFace | None:
        return WarmFace(*MOUNTED.at(self.cup), 0.12, 0.16, 55.0) if self.cup else None


@asynccontextmanager
async def bench(folder: Path, *, mirror: bool = True) -> AsyncIterator[Bench]:
    place = Bench(folder, mirror)
    async with place.camera:
        place.thermometer.plug()
        measuring = asyncio.create_task(place.thermometer.run())
        place.write_settings()
        try:
            yield place
        finally:
            measuring.cancel()
            await asyncio.gather(measuring, return_exceptions=True)
            place.thermometer.unplug()


@asynccontextmanager
async def command(place: Bench) -> AsyncIterator[Process]:
    words = ["calibrate", "view", "--by", "installer", "--config", str(place.config), "--json"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge_agent.commands.cli", *words, stdout=PIPE, stderr=PIPE
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(HANG_S):
            while b"THIS-BOX" not in await process.stderr.readline():
                assert process.returncode is None
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def opened(place: Bench, size: tuple[int, int] = (1280, 800)) -> AsyncIterator[Page]:
    async with chromium() as browser:
        page = await open_page(browser, size)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        async with asyncio.timeout(HANG_S):
            while True:
                try:
                    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{place.port}/"):
                        break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.05)
        await page.goto(f"http://127.0.0.1:{place.port}/")
        yield page
    assert complaints == []


SEEN_AT = """([x, y]) => {
  const { hidden, style } = document.getElementById("spot");
  return !hidden && Math.hypot(parseFloat(style.right) - x, parseFloat(style.top) - y) < 4;
}"""
RING_AT = """([x, y]) => {
  const ring = document.querySelector("[data-state=follows]")?.style;
  return ring && Math.hypot(parseFloat(ring.right) - x, parseFloat(ring.top) - y) < 4;
}"""


def percent(at: Point) -> list[float]:
    return [100 * at[0], 100 * at[1]]


async def touch(page: Page, place: Bench, at: Point) -> None:
    """Hold the cup at `at`, wait until the box sees it still there, and touch it in the mirrored picture."""
    place.cup = at
    await page.wait_for_function(SEEN_AT, arg=percent(place.seen(at)))
    frame = await page.locator("#camera").bounding_box()
    assert frame is not None
    position = {"x": (1 - at[0]) * frame["width"], "y": at[1] * frame["height"]}
    await page.locator("#camera").click(position=position)


async def test_four_touches_on_the_page_recover_how_the_two_are_mounted(tmp_path: Path) -> None:
    async with bench(tmp_path) as place, command(place) as process:
        async with opened(place) as page:
            await page.locator('#zh:has-text("没有足够热的物体")').wait_for()
            await page.locator("#keep:disabled").wait_for()
            for number, at in enumerate(PLACES):
                await page.locator(f"body[data-step='{number}']").wait_for()
                await touch(page, place, at)
            await page.locator('#zh:has-text("残差")').wait_for()
            place.cup = (0.5, 0.45)
            await page.wait_for_function(RING_AT, arg=percent(place.cup))
            await page.locator("#keep").click()
            await page.locator('#zh:has-text("已保存")').wait_for()
        stdout, _ = await asyncio.wait_for(process.communicate(), HANG_S)
    assert process.returncode == 0
    kept = load_view(place.data)
    assert kept == msgspec.json.decode(stdout, type=ViewCalibration)
    assert kept is not None
    assert (kept.by, kept.camera_size, kept.thermal_size) == ("installer", (WIDTH, HEIGHT), (32, 24))
    for point in ((0.2, 0.2), (0.5, 0.5), (0.8, 0.8)):
        assert np.abs(np.subtract(kept.view.at(point), MOUNTED.at(point)) * (32, 24)).max() < 0.7


async def test_a_mirrored_thermal_picture_is_told_and_nothing_is_kept(tmp_path: Path) -> None:
    async with bench(tmp_path, mirror=False) as place, command(place) as process:
        async with opened(place) as page:
            for number, at in enumerate(PLACES):
                await page.locator(f"body[data-step='{number}']").wait_for()
                await touch(page, place, at)
            await page.locator('#zh:has-text("mirror = true")').wait_for()
            await page.locator('#en:has-text("set mirror = true under [thermometer]")').wait_for()
            await page.locator("#keep:disabled").wait_for()
            await page.locator("body[data-step='0']").wait_for()
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), HANG_S) == 130
    assert not (place.data / FILE_NAME).exists()


async def test_the_page_is_whole_on_every_screen(tmp_path: Path) -> None:
    async with bench(tmp_path) as place, command(place), opened(place) as page:
        for mood, steps in (("wait", ()), ("ready", PLACES[:1]), ("done", PLACES[1:])):
            for at in steps:
                await touch(page, place, at)
            await page.locator(f"body[data-mood='{mood}']").wait_for()
            for width, height in SIZES.values():
                await page.set_viewport_size({"width": width, "height": height})
                assert await page.evaluate(OFF_THE_PAGE) == [], (mood, width, height)


async def test_keys_and_starting_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as place, command(place), opened(place) as page:
        place.cup = PLACES[0]
        await page.locator("body[data-mood='ready']").wait_for()
        await page.locator("#camera").focus()
        for key in ("ArrowRight", "ArrowLeft", "Enter"):
            await page.keyboard.press(key)
        await page.locator("body[data-step='1']").wait_for()
        await page.locator("#again").click()
        await page.locator("body[data-step='0']").wait_for()
        assert not (place.data / FILE_NAME).exists()


async def test_the_screen_of_the_kiosk_goes_over_and_comes_back(tmp_path: Path) -> None:
    stand = Stand()
    stand.report = {"view": {}}  # as an agent says
    async with bench(tmp_path) as place:
        stand.port = place.port
        await stand.start()
        words = ["calibrate", "view", "--by", "me", "--config", str(place.config)]
        beside = await asyncio.to_thread(run_here, words)
        assert (beside.returncode, "systemctl stop edge-agent" in beside.stderr) == (1, True)
        async with opened(place) as page:
            await page.locator("#headline:not(:empty)").wait_for()
            await stand.stop()
            async with command(place) as process:
                await page.locator("#keep").wait_for()
                process.send_signal(signal.SIGINT)
                await process.wait()
            await page.locator('#zh:has-text("已结束")').wait_for()
            await stand.start()
            await page.locator("#headline:not(:empty)").wait_for()
        await stand.stop()


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    async with bench(tmp_path) as place:
        words = ["calibrate", "view", "--by", "me", "--config", str(place.config)]
        taken = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", place.port)
        async with taken:
            done = await asyncio.to_thread(run_here, words)
        assert (done.returncode, "is used by another program" in done.stderr) == (1, True)


def run_here(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_agent.commands.cli", *words],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
