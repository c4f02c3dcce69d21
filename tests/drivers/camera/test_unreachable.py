from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from drivers.camera import unreachable
from drivers.camera.camera import make_camera
from drivers.camera.unreachable import why_no_stream, why_not_opened
from drivers.contract import PartState
from tests.drivers.driver_bench import eventually, running
from tests.limits import HANG_S
from tests.ports import free_port

SNAPSHOT = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
ANSWERS = {
    "401": (
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=x\r\n\r\n",
        "requires a user name and password",
    ),
    "403": (b"HTTP/1.1 403 Forbidden\r\n\r\n", "denies access"),
    "404": (b"HTTP/1.1 404 Not Found\r\n\r\n", r"no such address \(404\)"),
    "503": (b"HTTP/1.1 503 Busy\r\n\r\n", r"refuses \(503\)"),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: /login.html\r\n\r\n", "perhaps to a login page"),
    "login page": (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>",
        "shows a web page, perhaps a login page",
    ),
    "snapshot": (b"HTTP/1.1 200 OK\r\ncontent-type: image/jpeg\r\n\r\n" + SNAPSHOT, "single picture"),
    "no stream": (b"HTTP/1.1 200 OK\r\nContent-Type: video/x\r\n\r\nnonsense", "cannot be decoded"),
    "ssh": (b"SSH-2.0-OpenSSH_9\r\n", "not from a camera"),
    "nothing": (b"", "not from a camera"),
}


@asynccontextmanager
async def answering(answer: bytes, heard: list[bytes] | None = None) -> AsyncIterator[int]:
    """A server that gives `answer` to every request; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            if heard is not None:
                heard.append(request)
            writer.write(answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(("answer", "why"), ANSWERS.values(), ids=ANSWERS)
async def test_what_answers_in_place_of_a_stream_is_named(answer: bytes, why: str) -> None:
    async with answering(answer) as port:
        reason = await asyncio.to_thread(why_no_stream, f"http://admin:geheim@127.0.0.1:{port}/video?password=geheim")
    assert why.replace("\\", "") in reason
    assert "geheim" not in reason


@pytest.mark.parametrize("name", ["404", "login page", "snapshot"])
async def test_the_camera_says_why_it_is_lost(name: str) -> None:
    answer, why = ANSWERS[name]
    async with answering(answer) as port:
        camera = make_camera(source=f"http://127.0.0.1:{port}/video")
        async with running(camera):
            await eventually(lambda: camera.health.state is PartState.LOST and camera.health.detail != "")
            assert why.replace("\\", "") in camera.health.detail


async def test_rtsp_is_asked_in_its_own_language() -> None:
    heard: list[bytes] = []
    async with answering(b"RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n", heard) as port:
        url = f"rtsp://admin:a%40b@127.0.0.1:{port}/live?channel=1"
        assert "404" in await asyncio.to_thread(why_no_stream, url)
    assert heard[0].startswith(b"DESCRIBE rtsp://127.0.0.1:%d/live?channel=1 RTSP/1.0\r\n" % port)
    assert b"Authorization: Basic YWRtaW46YUBi\r\n" in heard[0]


async def test_a_dead_host_and_a_mute_one_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = await asyncio.to_thread(why_no_stream, f"http://127.0.0.1:{free_port()}/")
    assert refused == "no connection to the camera: Connection refused"
    monkeypatch.setattr(unreachable, "LIMIT_S", 0.1)
    released = asyncio.Event()

    async def mute(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.wait_for(released.wait(), HANG_S)
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert "does not answer" in await asyncio.to_thread(why_no_stream, f"rtsp://127.0.0.1:{port}/")
        released.set()
    assert why_no_stream("http://127.0.0.1:99999/") == "the address is not valid"


def test_a_device_or_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert why_not_opened(str(tmp_path / "absent.avi")) == "there is no such device or file"
    assert why_not_opened("997") == "there is no such device or file"
    (tmp_path / "text.avi").write_text("no film", encoding="ascii")
    assert "another program" in why_not_opened(str(tmp_path / "text.avi"))
