"""One connection of an HTTP server, with a limit for the time in which the headers of a request must arrive."""

from __future__ import annotations

import asyncio
from typing import cast

from aiohttp.web_protocol import RequestHandler


class LimitedConnection(asyncio.Protocol):
    """Passes everything to aiohttp's `handler` and aborts the connection when the next headers take too long.

    `closed` is set when the connection has ended.
    """

    def __init__(self, handler: RequestHandler, head_s: float) -> None:
        self.closed = asyncio.Event()
        self._handler = handler
        self._head_s = head_s
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.expect_head(self._head_s)
        self._handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._handler.data_received(data)

    def eof_received(self) -> None:
        self._handler.eof_received()

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.head_received()
        self.closed.set()
        self._handler.connection_lost(exc)

    def abort(self) -> None:
        """End the connection; no effect on one that has ended."""
        if self._transport is not None:
            self._transport.abort()

    def expect_head(self, limit_s: float) -> None:
        """Abort the connection unless the headers of a request arrive within `limit_s`."""
        self.head_received()
        if self._transport is not None and not self.closed.is_set():
            self._deadline = asyncio.get_running_loop().call_later(limit_s, self._transport.abort)

    def head_received(self) -> None:
        """The headers are complete."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
