"""A front door that lets in so many connections a second, as a load balancer does, and counts who knocks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_CHUNK = 65_536
_HOST = "127.0.0.1"


class AcceptGate:
    """A TCP proxy on loopback. Whoever comes too fast is turned away at once; `knocks_s` are monotonic seconds."""

    def __init__(self, upstream_port: int, admit_per_s: float) -> None:
        self.knocks_s: list[float] = []
        self.admitted = 0
        self._upstream_port = upstream_port
        self._admit_per_s = admit_per_s
        self._tokens = admit_per_s
        self._filled_s = time.monotonic()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[int]:
        """Listening; yields the port."""
        server = await asyncio.start_server(self._come_in, _HOST, 0, backlog=4096)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    def _admits(self) -> bool:
        now_s = time.monotonic()
        self.knocks_s.append(now_s)
        self._tokens = min(self._admit_per_s, self._tokens + (now_s - self._filled_s) * self._admit_per_s)
        self._filled_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        self.admitted += 1
        return True

    async def _come_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._admits():
                with contextlib.suppress(OSError):
                    there, back = await asyncio.open_connection(_HOST, self._upstream_port)
                    await _join(reader, writer, there, back)
        except asyncio.CancelledError:
            pass  # the server was closed while people were inside
        finally:
            writer.transport.abort()


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: asyncio.StreamReader, back: asyncio.StreamWriter
) -> None:
    """Carry bytes both ways until one side ends."""
    ways = [asyncio.ensure_future(_carry(reader, back)), asyncio.ensure_future(_carry(there, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        back.transport.abort()


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK):
            sink.write(data)
            await sink.drain()
