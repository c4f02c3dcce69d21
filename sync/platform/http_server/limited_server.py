"""Serves a web application with limits: connections in all and for each network, names, and the time of each step."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp.web_protocol import RequestHandler

from sync.network_address import is_own_name
from sync.platform.http_server.client_network import client_network
from sync.platform.http_server.connection import LimitedConnection

log = logging.getLogger(__name__)

_BACKLOG = 128
_NO_DESCRIPTOR_PAUSE_S = 1.0
_REPORT_INTERVAL_S = 60.0
_TLS_CLOSE_S = 5.0


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What a client may use. A connection beyond a limit is closed at once, and every other one is served."""

    connections: int = 800  # fewer than the usual limit of 1,024 open files
    per_network: int = 160  # of one IPv4 address or one IPv6 /64
    handshake_s: float = 10.0
    head_s: float = 10.0  # from the connection to the end of the first request's headers
    idle_s: float = 30.0  # from a response to the end of the next request's headers
    request_s: float = 30.0  # from the headers to the response, the body included


DEFAULT_LIMITS = ServerLimits()


class LimitedServer:
    """Serves `application`; a request must name an IP address, `localhost` or one of `names` as its host."""

    def __init__(
        self,
        application: web.Application,
        names: Collection[str],
        limits: ServerLimits = DEFAULT_LIMITS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        application.middlewares.insert(0, self._check_host)
        application.middlewares.insert(0, self._limit_request)
        self._runner = web.AppRunner(application, access_log=None)
        self._names = frozenset(name.lower() for name in names)
        self._limits = limits
        self._tls = tls
        self._open: Counter[str] = Counter()  # connections of each network
        self._connections: dict[RequestHandler, LimitedConnection] = {}
        self._reported_s = -_REPORT_INTERVAL_S

    @asynccontextmanager
    async def served(self, host: str, port: int) -> AsyncIterator[int]:
        """Serve on `host`; yields the port, which the system chooses if `port` is 0. Raises OSError."""
        listening = await _listen(host, port)
        await self._runner.setup()
        serving = asyncio.get_running_loop().create_task(self._serve_all(listening), name="http server")
        try:
            yield listening[0].getsockname()[1]
        finally:
            serving.cancel()
            await asyncio.wait([serving])
            for each in listening:
                each.close()
            await self._runner.cleanup()
            if not serving.cancelled():
                serving.result()

    async def _serve_all(self, listening: Sequence[socket.socket]) -> None:
        """Accept and serve connections until cancelled, which aborts them."""
        async with asyncio.TaskGroup() as group:
            for each in listening:
                group.create_task(self._accept(group, each), name="http accept")

    async def _accept(self, group: asyncio.TaskGroup, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(listening)
            except ConnectionError:
                continue  # the client has gone
            except OSError as exc:
                self._report(f"no connection can be accepted: {exc.strerror}")
                await asyncio.sleep(_NO_DESCRIPTOR_PAUSE_S)
                continue
            network = client_network(address[0])
            if self._open.total() >= self._limits.connections or self._open[network] >= self._limits.per_network:
                self._report(f"too many connections: one from {network} is closed")
                client.close()
                continue
            self._open[network] += 1
            group.create_task(self._serve(client, network), name="http connection")

    async def _serve(self, client: socket.socket, network: str) -> None:
        """Serve one connection until it ends."""
        handler = self._runner.server()  # type: ignore[misc]
        connection = self._connections[handler] = LimitedConnection(handler, self._limits.head_s)
        timeouts = {"ssl_handshake_timeout": self._limits.handshake_s, "ssl_shutdown_timeout": _TLS_CLOSE_S}
        try:
            client.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, client, ssl=self._tls, **(timeouts if self._tls else {})
            )
            await connection.closed.wait()
        except OSError:
            client.close()  # no TLS, or the handshake took too long
        finally:
            connection.abort()
            del self._connections[handler]
            self._open[network] -= 1
            if not self._open[network]:
                del self._open[network]

    @web.middleware
    async def _limit_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = self._connections.get(request.protocol)
        if connection is None:
            return await handler(request)
        connection.head_received()
        try:
            async with asyncio.timeout(self._limits.request_s) as limit:
                return await handler(request)
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise web.HTTPRequestTimeout(text="The request took too long.\n") from exc
        finally:
            connection.expect_head(self._limits.idle_s)

    @web.middleware
    async def _check_host(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_own_name(request.headers.get("Host", ""), self._names):
            raise web.HTTPMisdirectedRequest(text="Unknown host name.\n")
        return await handler(request)

    def _report(self, message: str) -> None:
        """Log at most one warning in each interval."""
        now_s = time.monotonic()
        if now_s - self._reported_s >= _REPORT_INTERVAL_S:
            self._reported_s = now_s
            log.warning("%s", message)


async def _listen(host: str, port: int) -> Sequence[socket.socket]:
    """One listening socket for each address of `host`, all with the same port. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with_each: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            chosen = port or (with_each[0].getsockname()[1] if with_each else 0)
            listening = socket.create_server((address[0], chosen, *address[2:]), family=family, backlog=_BACKLOG)
            listening.setblocking(False)
            with_each.append(listening)
    except OSError:
        for each in with_each:
            each.close()
        raise
    return with_each
