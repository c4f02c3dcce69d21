"""The simulated camera, opened as the agent opens a network camera."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.simulated.devices.camera import CameraMode, SimulatedCamera
from tests.limits import HANG_S

OPTIONS = "fflags;nobuffer|probesize;32|analyzeduration;0|flags;low_delay"
GREY = np.full((480, 640, 3), 120, np.uint8)


@pytest.fixture(autouse=True)
def _low_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", OPTIONS)


@pytest.fixture
async def camera() -> AsyncIterator[SimulatedCamera]:
    async with SimulatedCamera(lambda: GREY, seed=1) as running:
        yield running


@contextmanager
def opened(url: str) -> Iterator[cv2.VideoCapture]:
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
    try:
        yield capture
    finally:
        capture.release()


def pictures(url: str, count: int) -> list[NDArray[np.uint8]]:
    with opened(url) as capture:
        return [np.asarray(image, np.uint8) for good, image in (capture.read() for _ in range(count)) if good]


async def test_live_pictures_have_the_stated_size_and_all_differ(camera: SimulatedCamera) -> None:
    images = await asyncio.to_thread(pictures, camera.url, 4)
    assert [image.shape for image in images] == [(480, 640, 3)] * 4
    assert all(np.any(one != other) for one, other in pairwise(images))
    assert images[0].mean() == pytest.approx(120, abs=2)


async def test_a_frozen_camera_repeats_one_picture(camera: SimulatedCamera) -> None:
    await camera.set_mode(CameraMode.FROZEN)
    first, *others = await asyncio.to_thread(pictures, camera.url, 4)
    assert all(np.array_equal(first, other) for other in others)


async def test_a_covered_lens_is_black(camera: SimulatedCamera) -> None:
    await camera.set_mode(CameraMode.BLACK)
    images = await asyncio.to_thread(pictures, camera.url, 2)
    assert images
    assert max(int(image.max()) for image in images) < 5


async def test_a_stalled_camera_sends_no_bytes_and_resumes_when_live(camera: SimulatedCamera) -> None:
    reader, writer = await _viewer(camera)
    await reader.readuntil(b"--picture")
    await camera.set_mode(CameraMode.STALLED)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_drained(reader), 0.5)
    await camera.set_mode(CameraMode.LIVE)
    async with asyncio.timeout(HANG_S):
        assert await reader.readuntil(b"image/jpeg")
    writer.close()


async def test_a_refusing_camera_drops_its_viewers_and_comes_back_at_its_address(camera: SimulatedCamera) -> None:
    reader, writer = await _viewer(camera)
    url = camera.url
    await camera.set_mode(CameraMode.REFUSED)
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(_drained(reader), HANG_S)
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await _viewer(camera)
    await camera.set_mode(CameraMode.LIVE)
    assert camera.url == url
    assert await asyncio.to_thread(pictures, url, 1)


async def _viewer(camera: SimulatedCamera) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = int(camera.url.split(":")[2].split("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    writer.write(b"GET /video.mjpg HTTP/1.0\r\n\r\n")
    return reader, writer


async def _drained(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass
