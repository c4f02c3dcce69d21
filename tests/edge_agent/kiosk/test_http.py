"""The box's own HTTP: the document says what the routes do, strangers get nowhere, and nothing makes it stumble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
import requests
from aiohttp import web

from edge_agent.kiosk import server, staff, touch
from edge_agent.kiosk.guard import HEADERS
from edge_agent.kiosk.touch import BODY_CAP_BYTES
from tests.described import Described, in_a_thread
from tests.edge_agent.kiosk.test_staff import PIN, Desk, opened_desk
from tests.limits import HANG_S

DOCUMENT = Described(Path(server.__file__).with_name("openapi.yaml"))
ACTS = [path for method, path in DOCUMENT.operations if method == "POST"]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened_desk(tmp_path) as desk:
        yield desk


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[aiohttp.ClientSession]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(desk.stand.url, cookie_jar=jar, timeout=aiohttp.ClientTimeout(HANG_S)) as session:
        yield session


async def test_the_document_lists_every_route_and_no_other(desk: Desk) -> None:
    DOCUMENT.check_routes(desk.stand.kiosk().application())


@pytest.mark.parametrize(
    "kind", [touch.LanguageTouch, staff._Pin, staff._Override, staff._Release, staff._Volume, staff._DefaultLanguage]
)
def test_the_document_describes_the_bodies_as_they_are_decoded(kind: type[msgspec.Struct]) -> None:
    DOCUMENT.check_body(kind)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Origin": "http：//127.0.0.1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 421),
    ],
    ids=["origin", "null origin", "open bracket", "full-width colon", "cross-site", "host"],
)
async def test_no_act_comes_from_another_site(
    desk: Desk, client: aiohttp.ClientSession, headers: dict[str, str], status: int
) -> None:
    async with client.post("/staff/enter", json={"pin": PIN}) as entered:
        assert entered.status == 200
    for path in ACTS:
        async with client.post(path, json={}, headers=headers) as answer:
            assert answer.status == status, path
    assert desk.gate.counters["pulses"] == 0


ANSWERS: list[tuple[str, str, dict[str, str], int]] = [
    ("GET", "/", {}, 200),
    ("GET", "/nothing", {}, 404),
    ("GET", "/nothing/below", {}, 404),
    ("GET", "/staff/", {}, 404),
    ("GET", "/touch/staff", {}, 405),
    ("DELETE", "/api/status", {}, 405),
    ("GET", "/", {"Host": "evil.example"}, 421),
    ("POST", "/touch/staff", {}, 415),
    ("GET", "/stumble/here", {}, 500),
]


class Bug:
    """A route that stumbles."""

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/stumble/here", self._stumble)

    async def _stumble(self, _request: web.Request) -> web.Response:
        raise RuntimeError("a bug")


async def test_every_answer_carries_the_guards(desk: Desk, client: aiohttp.ClientSession) -> None:
    desk.stand.more.append(Bug())
    await desk.stand.stop()
    await desk.stand.start()
    for method, path, headers, status in ANSWERS:
        async with client.request(method, path, headers=headers) as answer:
            assert answer.status == status, path
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
            assert "a bug" not in await answer.text()


async def test_a_body_that_is_too_long_or_too_late_is_refused(
    desk: Desk, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client.post("/touch/language", json={"language": "x" * BODY_CAP_BYTES}) as answer:
        assert answer.status == 413
    monkeypatch.setattr(touch, "BODY_LIMIT_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.stand.port)
    head = (
        "POST /touch/language HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 20\r\n"
    )
    writer.write(f'{head}\r\n{{"lang'.encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()
    await writer.wait_closed()


@contextmanager
def running_desk(folder: Path) -> Iterator[str]:
    """A desk for a client that blocks; gives its address."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[str]:
        async with opened_desk(folder) as desk:
            yield desk.stand.url

    with in_a_thread(opened) as url:
        yield url


def test_no_request_of_a_stranger_makes_it_stumble(tmp_path: Path) -> None:
    with running_desk(tmp_path) as url, requests.Session() as session:
        seen = DOCUMENT.tried(url, session, last="/staff/leave")
    for path in ("/staff/override", "/staff/gate", "/staff/volume", "/staff/language", "/staff/leave"):
        assert seen[path] == {401}


def test_no_request_of_staff_makes_it_stumble(tmp_path: Path) -> None:
    with running_desk(tmp_path) as url, requests.Session() as session:
        assert session.post(f"{url}/staff/enter", json={"pin": PIN}, timeout=HANG_S).status_code == 200
        seen = DOCUMENT.tried(url, session, last="/staff/leave")
    assert 200 in seen["/staff/gate"]
    assert 204 in seen["/staff/volume"]
    assert 404 in seen["/staff/override"]
