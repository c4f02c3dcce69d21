from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.camera.camera import make_camera
from drivers.camera.video_capture import Source
from drivers.contract import PartFault, PartState
from drivers.errors import BadSetting
from drivers.simulated.devices.camera import CameraMode, SimulatedCamera
from tests.drivers.driver_bench import eventually, running, state
from tests.limits import HANG_S


def scene() -> NDArray[np.uint8]:
    """A wall with two doors."""
    wall = np.full((480, 640, 3), 128, np.uint8)
    wall[100:, 100:240] = wall[100:, 400:540] = 60
    return wall


def jpeg(image: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".jpg", image)[1].tobytes()


def damaged(data: bytes, junk: bytes) -> bytes:
    """`data` with `junk` over its middle."""
    middle = len(data) // 2
    return data[:middle] + junk + data[middle + len(junk) :]


def with_band(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    image[300:] = colour
    return image


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Two seconds of noise, 320x240 at 20 fps; each picture a little brighter than the one before."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (320, 240))
    random = np.random.default_rng(1)
    for step in range(40):
        picture = random.normal(60 + 3 * step, 3, (240, 320, 3))
        picture[50:, 50:120] -= 50
        writer.write(picture.clip(0, 255).astype(np.uint8))
    writer.release()
    return path


async def test_a_file_is_played_at_its_own_pace_and_looped(film: Path) -> None:
    camera = make_camera(source=str(film), fps=30)
    async with running(camera):
        sequence, frame = await asyncio.wait_for(camera.frames.after(0), HANG_S)
        first_s, levels = frame.taken_at_s, [float(frame.image.mean())]
        while len(levels) < 2 or levels[-1] > levels[-2]:  # until it starts again
            sequence, frame = await asyncio.wait_for(camera.frames.after(sequence), HANG_S)
            levels.append(float(frame.image.mean()))
        assert frame.image.shape == (240, 320, 3)
        assert camera.health.detail.startswith("320x240 MJPG ")
    assert levels[-1] < levels[1]
    assert frame.taken_at_s - first_s > 1.8
    assert not any(thread.name == "camera" for thread in threading.enumerate())


async def test_surplus_frames_are_dropped_not_queued(film: Path) -> None:
    camera = make_camera(source=str(film), fps=5)
    async with running(camera):
        await asyncio.wait_for(camera.frames.after(1), HANG_S)
        start_s, start = time.monotonic(), camera.counters["frames"]
        await asyncio.wait_for(camera.frames.after(6), HANG_S)
        rate_hz = (camera.counters["frames"] - start) / (time.monotonic() - start_s)
    assert rate_hz < 8


async def test_a_delayed_loop_receives_one_fresh_frame_not_a_queue(film: Path) -> None:
    camera = make_camera(source=str(film), fps=20)
    async with running(camera):
        sequence, _ = await asyncio.wait_for(camera.frames.after(0), HANG_S)
        held_s, before = time.monotonic(), camera.counters["frames"]
        time.sleep(0.5)  # noqa: ASYNC251  the loop is held up on purpose
        await asyncio.sleep(0)  # what the camera handed over meanwhile
        sequence, frame = await camera.frames.after(sequence)
        assert camera.counters["frames"] <= before + 2
        assert frame.taken_at_s > held_s - 1 / 20  # the newest before the delay at the earliest


async def test_network_camera_faults_are_detected_and_recovered() -> None:
    async with SimulatedCamera(scene, seed=1) as simulated:
        camera = make_camera(source=simulated.url, fps=30)
        async with running(camera):
            await state(camera, PartState.OK)
            for mode, seen_as in (
                (CameraMode.FROZEN, PartState.BROKEN),
                (CameraMode.CLOCK, PartState.BROKEN),
                (CameraMode.CUT_OFF, PartState.BROKEN),
                (CameraMode.BLACK, PartState.BROKEN),
                (CameraMode.BLOCKED, PartState.BROKEN),
                (CameraMode.STALLED, PartState.LOST),
                (CameraMode.REFUSED, PartState.LOST),
            ):
                await simulated.set_mode(mode)
                await state(camera, seen_as)
                given = camera.frames.sequence
                await asyncio.sleep(0.1)
                assert camera.frames.sequence == given
                await simulated.set_mode(CameraMode.LIVE)
                await state(camera, PartState.OK)


async def test_a_camera_that_is_not_there_is_lost_and_found_when_it_comes(film: Path, tmp_path: Path) -> None:
    camera = make_camera(source=str(tmp_path / "later.avi"))
    async with running(camera):
        await state(camera, PartState.LOST)
        os.link(film, tmp_path / "later.avi")
        await state(camera, PartState.OK)


async def test_a_source_that_never_answers_does_not_block_the_loop() -> None:
    accepted = asyncio.Event()

    async def mute(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            accepted.set()
            await released.wait()

    released = asyncio.Event()
    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server:
        camera = make_camera(source=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        async with running(camera):
            await asyncio.wait_for(accepted.wait(), HANG_S)
            assert camera.health.state is PartState.STARTING
        released.set()
    assert not any(thread.name == "camera" for thread in threading.enumerate())


UNDECODABLE = {
    "no picture at all": b"<html>busy</html>",
    "cut off": jpeg(scene())[:2000],
    "cut off, with an end": jpeg(scene())[:2000] + b"\xff\xd9",
    "zeros in the middle": damaged(jpeg(scene()), bytes(200)),
    "another size than in the header": b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x22\x00" + bytes(300),
    "a green band": jpeg(with_band(scene(), (0, 135, 0))),
    "a grey band": jpeg(with_band(scene(), (128, 128, 128))),
}


@pytest.mark.parametrize("data", UNDECODABLE.values(), ids=UNDECODABLE)
async def test_one_damaged_picture_is_dropped_and_the_camera_stays_ok(data: bytes) -> None:
    async with SimulatedCamera(scene, seed=1) as simulated:
        camera = make_camera(source=simulated.url, fps=30)
        async with running(camera):
            await state(camera, PartState.OK)
            since_s, given = camera.health.since_s, camera.frames.sequence
            simulated.send_once(data)
            await eventually(lambda: camera.counters["damaged"] == 1)
            _, frame = await asyncio.wait_for(camera.frames.after(given + 3), HANG_S)
            assert camera.health.since_s == since_s
            assert camera.counters["opened"] == 1
            assert camera.counters["held_back"] == 1
            assert frame.image.shape == (480, 640, 3)


async def test_many_damaged_pictures_are_a_fault_of_the_camera() -> None:
    async with SimulatedCamera(scene, seed=1) as simulated:
        camera = make_camera(source=simulated.url, fps=30)
        async with running(camera):
            await state(camera, PartState.OK)

            def is_broken() -> bool:
                simulated.send_once(b"<html>busy</html>")
                return "many pictures are damaged" in camera.health.detail

            await eventually(is_broken)
            assert (camera.health.state, camera.health.fault) == (PartState.BROKEN, PartFault.DAMAGED_PICTURES)


@pytest.mark.parametrize(
    ("rotate_deg", "flip", "corner"),
    [(0, False, (0, 0)), (90, False, (0, -1)), (180, False, (-1, -1)), (270, False, (-1, 0)), (90, True, (0, 0))],
)
async def test_the_picture_is_turned_clockwise_then_mirrored(
    tmp_path: Path, rotate_deg: int, flip: bool, corner: tuple[int, int]
) -> None:
    marked = scene()
    marked[:160, :200] = (20, 20, 230)
    async with SimulatedCamera(lambda: marked, seed=1) as simulated:
        camera = make_camera(source=simulated.url, rotate_deg=rotate_deg, flip=flip)
        async with running(camera):
            _, frame = await asyncio.wait_for(camera.frames.after(0), HANG_S)
    assert frame.image.shape == ((480, 640, 3) if rotate_deg % 180 == 0 else (640, 480, 3))
    down, across = corner
    assert frame.image[down * 20 if down else 20, across * 20 if across else 20, 2] > 200


async def test_a_rejected_camera_is_broken_and_still_delivers() -> None:
    async with SimulatedCamera(scene, seed=1) as simulated:
        camera = make_camera(source=simulated.url)
        async with running(camera):
            camera.reject("on its head", PartFault.NOT_UPRIGHT)
            await state(camera, PartState.BROKEN)
            assert (camera.health.detail, camera.health.fault) == ("on its head", PartFault.NOT_UPRIGHT)
            given = camera.frames.sequence
            await asyncio.wait_for(camera.frames.after(given + 1), HANG_S)
            camera.reject("")
            await state(camera, PartState.OK)
            assert camera.health.fault is None


def test_an_impossible_turn_is_refused() -> None:
    with pytest.raises(BadSetting, match="camera rotate 45 is not possible; accepted: 0, 90, 180, 270"):
        make_camera(source="0", rotate_deg=45)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("0", Source(device="0")),
        ("/dev/video2", Source(device="/dev/video2")),
        ("rtsp://user:word@10.0.0.2/stream", Source(url="rtsp://user:word@10.0.0.2/stream")),
        ("film.avi", Source(file="film.avi")),
    ],
)
def test_one_setting_names_any_source(text: str, source: Source) -> None:
    assert Source.parse(text) == source


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ftp://user:word@host/film",
        "RTSP://user:word@host/film",
        "user:word@host://film",
        "rtsp：//user:word@host/film",
        "rtsp:/user:word@host/film",
    ],
)
def test_an_impossible_source_is_refused_without_repeating_its_password(text: str) -> None:
    with pytest.raises(BadSetting, match="accepted: a number") as caught:
        make_camera(source=text)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rtsp://user:word@[::1/film", "HOST:PORT"),
        ("rtsp://user:word@host:0/film", "port must be"),
        ("http://host：8080/film", "full-width"),
        ("rtsp://user:wo/rd@host/film", "write %2F"),
        ("https:///film", "host name"),
    ],
)
def test_an_address_of_a_camera_is_refused_with_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(BadSetting, match=why) as caught:
        make_camera(source=text)
    assert "wo" not in str(caught.value).partition("密码")[0]


async def test_a_camera_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with SimulatedCamera(scene, seed=1) as simulated:
        camera = make_camera(source=simulated.url, fps=30)
        async with running(camera):
            await state(camera, PartState.OK)


def test_an_impossible_size_is_refused() -> None:
    with pytest.raises(BadSetting, match="camera fps 0"):
        make_camera(source="0", fps=0)
