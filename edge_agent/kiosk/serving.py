"""Serves a guarded web application on a loopback address; responses with the files of a page and with JSON."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Mapping
from pathlib import Path

import msgspec
from aiohttp import web

from edge_agent.kiosk.errors import KioskError
from edge_agent.kiosk.guard import acts_from_own_screen, add_headers, check_loopback_host, host_check
from edge_agent.kiosk.touch import BODY_CAP_BYTES
from sync.network_address import HostPort

CONTENT_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
CLOSE_S = 0.2
IDLE_S = 1.0  # aiohttp handles requests in its own tasks; this task only keeps the server open


def read_page(folder: Path) -> dict[str, bytes]:
    """The files of a page by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def file_response(page: Mapping[str, bytes], name: str) -> web.Response:
    """The file `name` of `page`. Raises HTTPNotFound."""
    if name not in page:
        raise web.HTTPNotFound(text="Page not found.\n")
    return web.Response(body=page[name], content_type=CONTENT_TYPES[Path(name).suffix], charset="utf-8")


def json_response(body: object, status: int = 200) -> web.Response:
    """`body` as JSON."""
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


def guarded(host: str) -> web.Application:
    """An application without routes that checks the host name and the origin of every request."""
    guards = [host_check(host), acts_from_own_screen]
    application = web.Application(middlewares=guards, client_max_size=BODY_CAP_BYTES)
    application.on_response_prepare.append(add_headers)
    return application


async def serve(application: web.Application, host: str, port: int) -> None:
    """Serve until cancelled. Raises KioskError if the address cannot be used."""
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=CLOSE_S)
    await runner.setup()
    try:
        await _listen(runner, host, port)
        while True:
            await asyncio.sleep(IDLE_S)
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    check_loopback_host(host, port)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as exc:
        address = HostPort(host, port)
        if exc.errno == errno.EADDRINUSE:
            raise KioskError(f"{address} is used by another program: stop it or set another kiosk.port") from exc
        raise KioskError(f"{address} cannot be served: {exc.strerror}; check kiosk.host and kiosk.port") from exc
