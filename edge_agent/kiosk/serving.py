"""Serves a guarded web application on a loopback address."""

from __future__ import annotations

import asyncio
import errno

from aiohttp import web

from edge_agent.kiosk.errors import KioskError
from edge_agent.kiosk.guard import acts_from_own_screen, add_headers, host_check, is_loopback_host
from edge_agent.kiosk.touch import BODY_CAP_BYTES

CLOSE_S = 0.2
IDLE_S = 1.0  # aiohttp handles requests in its own tasks; this task only keeps the server open


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
    if not is_loopback_host(host):
        raise KioskError(
            f"kiosk.host = {host!r}: the page is not encrypted and must stay on this machine: "
            f"set it to 127.0.0.1; from another machine use ssh -L {port}:127.0.0.1:{port}"
        )
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as exc:
        address = f"{host}:{port}"
        if exc.errno == errno.EADDRINUSE:
            raise KioskError(f"{address} is used by another program: stop it or set another kiosk.port") from exc
        raise KioskError(f"{address} cannot be served: {exc.strerror}; check kiosk.host and kiosk.port") from exc
