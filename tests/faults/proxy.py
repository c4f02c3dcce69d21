"""A TCP proxy with network faults: silence, resets, partial packets, low bandwidth."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto

_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close with RST
_BYTES = 4096


class Fault(Enum):
    """The fault of all connections through the proxy."""

    NONE = auto()
    SILENCE = auto()  # half-open: both ends are connected and nothing arrives
    RESET = auto()  # RST to both ends
    CUT = auto()  # half of the next data, then the connection is closed
    CRAWL = auto()  # one byte at a time, slowly
    CLOSED = auto()  # the connection is closed regularly


class FaultProxy:
    """Forwards clients to one port on this machine; `fault` may change at any time and applies to all connections.

    `seen` contains the forwarded data, one entry for each direction of each connection.
    """

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.seen: list[bytearray] = []
        self._target_port = target_port
        self._fault = Fault.NONE
        self._changed = asyncio.Event()
        self._served: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, target_port: int) -> AsyncIterator[FaultProxy]:
        """Start the proxy on a free port."""
        proxy = cls(target_port)
        server = await asyncio.start_server(proxy._accept, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            proxy.set(Fault.CLOSED)
            await asyncio.gather(*proxy._served)

    def set(self, fault: Fault) -> None:
        """Set the fault from now on."""
        self._fault = fault
        self._changed.set()
        self._changed = asyncio.Event()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, writer))
        self._served.add(serving)
        serving.add_done_callback(self._served.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
            ends.append(back)
            both = [asyncio.create_task(self._pipe(reader, back)), asyncio.create_task(self._pipe(there, writer))]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
        for each in ends:
            self._end(each)
        await asyncio.gather(*(each.wait_closed() for each in ends), return_exceptions=True)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = bytearray()
        self.seen.append(passed)
        while self._fault not in (Fault.RESET, Fault.CLOSED):
            reading = asyncio.create_task(reader.read(_BYTES))
            changing = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait((reading, changing), return_when=asyncio.FIRST_COMPLETED)
                if self._fault in (Fault.RESET, Fault.CLOSED):
                    return
                data = await reading
            finally:
                reading.cancel()
                changing.cancel()
            if not data:
                return
            passed += data
            if not await self._forward(data, writer):
                return

    async def _forward(self, data: bytes, writer: asyncio.StreamWriter) -> bool:
        """Forward `data` according to the fault; False ends the connection."""
        match self._fault:
            case Fault.SILENCE:
                while self._fault is Fault.SILENCE:
                    await self._changed.wait()
                return self._fault is Fault.NONE and await self._forward(data, writer)
            case Fault.CUT:
                writer.write(data[: len(data) // 2])
                return False
            case Fault.CRAWL:
                for byte in data:
                    writer.write(bytes((byte,)))
                    await asyncio.sleep(0.0005)
            case _:
                writer.write(data)
        await writer.drain()
        return True

    def _end(self, writer: asyncio.StreamWriter) -> None:
        if self._fault is Fault.RESET:
            end: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            writer.transport.abort()
        else:
            writer.close()
