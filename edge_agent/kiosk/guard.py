"""Access control of the kiosk's HTTP server, and its security headers."""

from __future__ import annotations

import ipaddress

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from edge_agent.kiosk.errors import KioskError
from sync.network_address import is_loopback, is_own_name

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Server": "sentinel",  # hides library and version
}
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler that adds HEADERS to every response."""
    response.headers.update(HEADERS)


def host_check(own_host: str) -> Middleware:
    """Middleware that refuses requests with an unknown host name (DNS rebinding)."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_own_name(request.headers.get("Host", ""), [own_host]):
            raise web.HTTPMisdirectedRequest(text="Unknown host name.\n")
        return await handler(request)

    return check


@web.middleware
async def acts_from_own_screen(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: state-changing requests must come from this machine and from its own page."""
    if request.method not in _SAFE_METHODS:
        own_screen_only(request)
    return await handler(request)


def own_screen_only(request: web.Request) -> None:
    """Raises HTTPForbidden unless the request comes from this machine and from its own page."""
    if not is_from_this_machine(request) or not is_own_page(request):
        raise web.HTTPForbidden(text="Allowed on this machine's own screen only.\n")


def check_loopback_host(host: str, port: int) -> None:
    """Raise KioskError unless `host` is this machine."""
    if not is_loopback(host):
        raise KioskError(
            f"kiosk.host = {host!r}: the page is not encrypted and must stay on this machine: "
            f"set it to 127.0.0.1; from another machine use ssh -L {port}:127.0.0.1:{port}"
        )


def is_from_this_machine(request: web.Request) -> bool:
    """Whether the request comes from this machine."""
    return request.remote is not None and ipaddress.ip_address(request.remote).is_loopback


def is_own_page(request: web.Request) -> bool:
    """Whether a browser sent the request from a page of this server.

    Browsers send the origin with every POST; a request without it does not come from a page.
    """
    origin = request.headers.get("Origin")
    if origin is None:
        return request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
    return origin.partition("://")[2] == request.headers.get("Host")
