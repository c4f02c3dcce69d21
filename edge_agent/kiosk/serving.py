"""A guarded web application on this machine's own address."""

from __future__ import annotations

import asyncio
import errno

from aiohttp import web

from edge_agent.kiosk.errors import KioskError
from edge_agent.kiosk.guard import add_headers, host_check

CLOSE_S = 0.2
IDLE_S = 1.0  # the event loop gives the answers; the task only holds the address


def guarded(host: str) -> web.Application:
    """An application without routes that answers to its own names only."""
    application = web.Application(middlewares=[host_check(host)])
    application.on_response_prepare.append(add_headers)
    return application


async def serve(application: web.Application, host: str, port: int) -> None:
    """Serve until cancelled. Raises KioskError when the address cannot be had."""
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=CLOSE_S)
    await runner.setup()
    try:
        await _listen(runner, host, port)
        while True:
            await asyncio.sleep(IDLE_S)
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as exc:
        address = f"{host}:{port}"
        if exc.errno == errno.EADDRINUSE:
            raise KioskError(f"{address} is taken by another program: stop that one or set another kiosk.port") from exc
        raise KioskError(f"{address} cannot be served: {exc.strerror}; check kiosk.host and kiosk.port") from exc
