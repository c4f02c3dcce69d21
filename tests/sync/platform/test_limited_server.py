"""The platform's HTTP servers hold no connection for ever, and answer under their own names only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from sync.edge.identity.est_client import EstClient
from sync.platform.fleet.fleet import Fleet
from sync.platform.fleet.page import HEADERS, FleetPage
from sync.platform.http_server.client_network import client_network
from sync.platform.http_server.limited_server import LimitedServer, ServerLimits
from sync.platform.records.open_store import open_store
from tests.limits import HANG_S
from tests.sync.authority import town

SHORT = ServerLimits(connections=6, per_network=4, handshake_s=0.3, head_s=0.3, idle_s=0.4, request_s=0.4)
LONG = ServerLimits(connections=6, per_network=4, head_s=10 * HANG_S)  # no deadline ends a connection here
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


async def read_body(request: web.Request) -> web.Response:
    return web.Response(text=str(len(await request.read())))


@asynccontextmanager
async def echo(limits: ServerLimits) -> AsyncIterator[int]:
    application = web.Application()
    application.router.add_post("/", read_body)
    async with LimitedServer(application, ["page.example"], limits).served("127.0.0.1", 0) as port:
        yield port


async def ends(reader: asyncio.StreamReader) -> bytes:
    """What the server sends until it ends the connection."""
    async with asyncio.timeout(HANG_S):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


HALVES = {
    "nothing": b"",
    "half a request line": b"POST / HT",
    "half the headers": HEAD,
    "half a header": HEAD + b"Content-Le",
    "half a second request": HEAD + b"Content-Length: 0\r\n\r\n" + HEAD,
    "half a body": HEAD + b"Content-Length: 9\r\n\r\nhalf",
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhal",
}


@pytest.mark.parametrize("sent", HALVES)
async def test_what_is_half_sent_is_not_held(sent: str) -> None:
    async with echo(SHORT) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HALVES[sent])
        answer = await ends(reader)
        assert (
            answer.startswith(b"HTTP/1.1 408" if sent in ("half a body", "half a chunk") else b"") or b"200" in answer
        )
        writer.close()


async def test_a_header_at_a_time_does_not_extend_the_limit() -> None:
    async with echo(SHORT) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began_s, closed = time.monotonic(), asyncio.ensure_future(ends(reader))
        writer.write(HEAD)
        while not closed.done() and time.monotonic() < began_s + HANG_S:
            writer.write(b"X: y\r\n")
            await asyncio.wait([closed], timeout=0.05)
        assert await closed == b""
        writer.close()


async def test_connections_are_limited_and_room_is_made_by_the_deadline() -> None:
    async with echo(LONG) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(LONG.per_network)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await ends(reader) == b""
        writer.close()
        other, other_writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        other_writer.write(HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\nab")
        assert (await ends(other)).endswith(b"2")
        other_writer.close()
        for _, each in held:
            each.close()
    async with echo(SHORT) as port:
        for _ in range(3):
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(SHORT.per_network)]
            for reader, each in held:
                assert await ends(reader) == b""
                each.close()


async def test_connections_are_limited_in_all() -> None:
    async with echo(LONG) as port:
        held = [
            await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.0.{3 + number}", 0))
            for number in range(LONG.connections)
        ]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.99", 0))
        assert await ends(reader) == b""
        for each in (writer, *(other for _, other in held)):
            each.close()


async def test_half_a_handshake_and_half_a_head_are_not_held_by_the_authority(tmp_path: Path) -> None:
    async with town(tmp_path, limits=SHORT) as here:
        port = int(here.url.rpartition(":")[2])
        for half in (b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(half)
            await ends(reader)
            writer.close()
        context = EstClient(here.url, [here.authority.root])._context
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        writer.write(b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localh")
        assert await ends(reader) == b""
        writer.close()
        async with aiohttp.ClientSession() as session:
            for host, status in (("localhost", 200), ("rebound.example", 421), ("", 421)):
                url = f"{here.url}/.well-known/est/cacerts"
                async with session.get(url, ssl=context, headers={"Host": host}) as answer:
                    assert answer.status == status, host


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:80", 200),
        ("[::1]:80", 200),
        ("192.0.2.7", 200),
        ("Fleet.example:443", 200),
        ("rebound.example", 421),
        ("localhost.rebound.example", 421),
        ("fleet.example.rebound.example", 421),
        ("127.0.0.1.rebound.example", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
async def test_the_fleet_page_answers_under_its_own_names_only(tmp_path: Path, host: str, status: int) -> None:
    async with open_store(str(tmp_path / "records.db")) as store:
        page = FleetPage(store, Fleet(), ["fleet.example"])
        async with page.served("127.0.0.1", 0) as port, aiohttp.ClientSession() as client:
            for path in ("/", "/api/stats"):
                async with client.get(f"http://127.0.0.1:{port}{path}", headers={"Host": host}) as answer:
                    assert answer.status == status
                    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


async def test_the_fleet_page_holds_no_half_sent_headers(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(str(tmp_path / "records.db")))
        port = await stack.enter_async_context(FleetPage(store, Fleet(), limits=SHORT).served("127.0.0.1", 0))
        for reader, writer in [await asyncio.open_connection("127.0.0.1", port) for _ in range(SHORT.per_network)]:
            writer.write(b"GET / HTTP/1.1\r\nHost: loc")
            assert await ends(reader) == b""
            writer.close()


def test_an_ipv4_address_over_ipv6_is_its_own_network() -> None:
    assert client_network("::ffff:192.0.2.7") == "192.0.2.7"
