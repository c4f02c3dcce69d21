from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from edge_agent.kiosk import stream
from edge_agent.kiosk.errors import KioskError
from edge_agent.kiosk.server import PAGE_DIR, Kiosk
from edge_agent.screen.view_state import ScreenStage
from tests.edge_agent.kiosk.stand import Stand, changed
from tests.limits import HANG_S
from tests.ports import free_port

Events = AsyncIterator[tuple[str, object]]


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    stand = Stand()
    await stand.start()
    yield stand
    await stand.stop()


@pytest.fixture
async def client(stand: Stand) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(stand.url, timeout=aiohttp.ClientTimeout(HANG_S)) as session:
        yield session


async def read_events(reader: aiohttp.StreamReader | asyncio.StreamReader) -> Events:
    """Name and data of each event, until the connection ends."""
    name = ""
    while line := (await reader.readline()).decode():
        if line.startswith("event: "):
            name = line[7:].strip()
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


async def next_named(events: Events, wanted: str) -> object:
    """Data of the next event called `wanted`."""
    async for name, data in events:
        if name == wanted:
            return data
    raise AssertionError(f"the stream ended without {wanted}")


async def test_the_page_is_small_and_asks_for_nothing_from_outside(client: aiohttp.ClientSession) -> None:
    total = 0
    for path in sorted(PAGE_DIR.iterdir()):
        async with client.get(f"/{path.name}") as answer:
            assert answer.status == 200
            body = await answer.text()
        total += len(body.encode())
        assert "https://" not in body
        assert "http://" not in body.replace("http://www.w3.org/2000/svg", "")
    async with client.get("/") as answer:
        assert answer.content_type == "text/html"
    assert total <= 200_000


async def test_every_answer_carries_the_guards(client: aiohttp.ClientSession) -> None:
    for path, status in (("/", 200), ("/nothing", 404), ("/api/status", 200), ("/..%2fserver.py", 404)):
        async with client.get(path) as answer:
            assert answer.status == status
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[::1"])
async def test_a_foreign_name_is_refused(client: aiohttp.ClientSession, host: str) -> None:
    for path in ("/", "/events", "/picture.mjpg", "/api/status"):
        async with client.get(path, headers={"Host": host}) as answer:
            assert answer.status in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "192.0.2.7"])
async def test_own_names_and_addresses_are_taken(client: aiohttp.ClientSession, host: str) -> None:
    async with client.get("/api/status", headers={"Host": host}) as answer:
        assert await answer.json() == {"passages": 7, "camera": "ok"}


async def test_the_strings_never_name_a_private_reason(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/strings") as answer:
        strings = await answer.json()
    assert list(strings["languages"]) == ["zh-CN", "yue", "en"]
    assert strings["texts"]["verdict"]["admit"]["en"] == "Go through"
    assert "watch_list" not in strings["texts"]["reason"]


async def test_a_new_page_sees_the_newest_view_at_once_then_each_change(
    stand: Stand, client: aiohttp.ClientSession
) -> None:
    stand.views.put(changed(serial=2, stage=ScreenStage.ARRIVAL))
    async with client.get("/events") as answer:
        assert answer.content_type == "text/event-stream"
        events = read_events(answer.content)
        assert (await anext(events))[0] == "edition"
        view = await next_named(events, "view")
        assert msgspec.convert(view, type(stand.views.value)) == stand.views.value
        stand.views.put(changed(serial=3, stage=ScreenStage.MEASURING))
        view = await next_named(events, "view")
        assert isinstance(view, dict)
        assert (view["serial"], view["stage"]) == (3, "measuring")


async def test_private_reasons_leave_the_agent_as_one(stand: Stand, client: aiohttp.ClientSession) -> None:
    stand.views.put(changed(stage=ScreenStage.RESULT, reasons=("watch_list", "mask_missing", "code_red")))
    async with client.get("/events") as answer:
        view = await next_named(read_events(answer.content), "view")
    assert isinstance(view, dict)
    assert view["reasons"] == ["private", "mask_missing"]


async def test_a_quiet_stream_beats(client: aiohttp.ClientSession) -> None:
    async with client.get("/events") as answer, asyncio.timeout(HANG_S):
        assert await next_named(read_events(answer.content), "heartbeat") is None


async def test_a_slow_page_skips_views_instead_of_queueing_them(stand: Stand) -> None:
    last = 20_000
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    connection.connect(("127.0.0.1", stand.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=4096)
    writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await writer.drain()
    events = read_events(reader)
    await next_named(events, "view")
    for serial in range(2, last + 1):
        stand.views.put(changed(serial=serial))
        await asyncio.sleep(0)
    serials = [1]
    async with asyncio.timeout(HANG_S):
        while serials[-1] < last:
            view = await next_named(events, "view")
            assert isinstance(view, dict)
            serials.append(view["serial"])
    writer.close()
    await writer.wait_closed()
    assert serials == sorted(set(serials))
    assert len(serials) < last / 20


async def test_the_picture_lives_only_while_somebody_is_there(stand: Stand, client: aiohttp.ClientSession) -> None:
    async with client.get("/picture.mjpg") as answer:
        assert answer.status == 204
    assert stand.frames_asked == 0
    stand.views.put(changed(stage=ScreenStage.MEASURING))
    assert stand.jpeg
    async with client.get("/picture.mjpg") as answer:
        assert answer.content_type == "multipart/x-mixed-replace"
        assert answer.headers["Cache-Control"] == "no-store"
        for _ in range(3):
            await answer.content.readuntil(b"Content-Length: %d\r\n\r\n" % len(stand.jpeg))
            assert await answer.content.readexactly(len(stand.jpeg)) == stand.jpeg
        stand.views.put(changed())
        rest = await answer.content.read()
    assert rest.count(b"image/jpeg") <= 1
    assert rest.count(b"image/png") == 1


async def test_stopping_waits_for_no_open_stream(
    stand: Stand, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 2 * HANG_S)
    async with client.get("/events") as answer:
        events = read_events(answer.content)
        await next_named(events, "view")
        async with asyncio.timeout(HANG_S):
            await stand.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.get("/events")


async def test_a_taken_port_is_named(stand: Stand) -> None:
    with pytest.raises(KioskError, match=rf"127\.0\.0\.1:{stand.port} is used.*kiosk\.port"):
        await stand.kiosk().run()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "box.example"])  # noqa: S104 - refused
async def test_the_page_stays_on_this_machine(stand: Stand, host: str) -> None:
    async def status() -> dict[str, object]:
        return {}

    kiosk = Kiosk(host, free_port(), stand.views, None, status)
    with pytest.raises(KioskError, match=r"kiosk\.host.*stay on this machine.*ssh -L"):
        await kiosk.run()


async def test_an_address_that_cannot_be_had_is_named(stand: Stand) -> None:
    async def status() -> dict[str, object]:
        return {}

    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(KioskError, match=rf"127\.0\.0\.2:{port} is used"):
            await Kiosk("127.0.0.2", port, stand.views, None, status).run()
