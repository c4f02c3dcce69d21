"""Serves the residents' page and its data on this machine only."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Protocol

import msgspec
from aiohttp import web

from config.catalogue import load_catalogue
from drivers.latest import Latest
from edge_agent.kiosk.picture import stream_pictures
from edge_agent.kiosk.serving import file_response, guarded, json_response, read_page, serve
from edge_agent.kiosk.stream import stream_views
from edge_agent.screen.view_state import ScreenView

PAGE_DIR = Path(__file__).parent / "page"


class Routes(Protocol):
    """Additional routes of the server."""

    def add_to(self, router: web.UrlDispatcher) -> None: ...


class Kiosk:
    """Serves the page, the stream of `views`, the live picture and the status."""

    def __init__(
        self,
        host: str,
        port: int,
        views: Latest[ScreenView],
        frames: Callable[[], bytes | None] | None,
        status: Callable[[], Awaitable[dict[str, object]]],
        more: Iterable[Routes] = (),
    ) -> None:
        """`frames` returns the newest camera picture as JPEG; it is called only while a page shows the picture."""
        self._host = host
        self._port = port
        self._views = views
        self._frames = frames
        self._status = status
        self._more = tuple(more)
        self._catalogue = load_catalogue()
        self._page = read_page(PAGE_DIR)
        self._strings = msgspec.json.encode(
            {
                "languages": dict(self._catalogue.languages),
                "texts": {
                    section: {key: dict(entry.texts) for key, entry in entries.items() if not entry.private}
                    for section, entries in self._catalogue.sections.items()
                },
            }
        )
        self._edition = hashlib.sha256(b"".join([*self._page.values(), self._strings])).hexdigest()[:16]

    async def run(self) -> None:
        """Serve until cancelled. Raises KioskError if the address cannot be used."""
        await serve(self.application(), self._host, self._port)

    async def touch(self) -> None:
        """Request the event stream as the screen does, and return when it starts.

        Also returns if the connection is refused: the server does not listen before and after `run`.
        """
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(self._host, self._port)
            try:
                writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await reader.readuntil(b"event: edition\n")
            finally:
                writer.close()

    def application(self) -> web.Application:
        """The application with its routes and guards, without a socket."""
        application = guarded(self._host)
        router = application.router
        router.add_get("/events", self._events, allow_head=False)
        router.add_get("/picture.mjpg", self._picture, allow_head=False)
        router.add_get("/api/status", self._api_status)
        router.add_get("/api/strings", self._api_strings)
        for routes in self._more:
            routes.add_to(router)
        router.add_get("/", self._file)
        router.add_get("/{name}", self._file)
        return application

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info.get("name", "index.html")
        return file_response(self._page, "staff.html" if name == "staff" else name)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        return await stream_views(request, self._views, self._catalogue, self._edition)

    async def _picture(self, request: web.Request) -> web.StreamResponse:
        return await stream_pictures(request, self._views, self._frames)

    async def _api_status(self, _request: web.Request) -> web.Response:
        return json_response(await self._status())

    async def _api_strings(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._strings, content_type="application/json")
