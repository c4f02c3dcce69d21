"""A TCP proxy that limits new connections per second, as a load balancer does, and counts attempts."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_CHUNK = 65_536
_HOST = "127.0.0.1"


class AcceptGate:
    """A TCP proxy on loopback that closes connections above the rate limit. `attempts_s` are monotonic seconds."""

    def __init__(self, upstream_port: int, admit_per_s: float) -> None:
        self.attempts_s: list[float] = []
        self.admitted = 0
        self._upstream_port = upstream_port
        self._admit_per_s = admit_per_s
        self._tokens = admit_per_s
        self._filled_s = time.monotonic()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[int]:
        """Listen; yields the port."""
        server = await asyncio.start_server(self._accept, _HOST, 0, backlog=4096)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    def _admits(self) -> bool:
        now_s = time.monotonic()
        self.attempts_s.append(now_s)
        self._tokens = min(self._admit_per_s, self._tokens + (now_s - self._filled_s) * self._admit_per_s)
        self._filled_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        self.admitted += 1
        return True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._admits():
                with contextlib.suppress(OSError):
                    there, back = await asyncio.open_connection(_HOST, self._upstream_port)
                    await _relay(reader, writer, there, back)
        except asyncio.CancelledError:
            pass  # the server was closed with open connections
        finally:
            writer.transport.abort()


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: asyncio.StreamReader, back: asyncio.StreamWriter
) -> None:
    """Copy bytes in both directions until one side ends."""
    copies = [asyncio.ensure_future(_copy(reader, back)), asyncio.ensure_future(_copy(there, writer))]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        back.transport.abort()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK):
            sink.write(data)
            await sink.drain()
