"""Who may ask the kiosk, and what a browser may do with the answers."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

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
    "Server": "sentinel",  # whoever asks need not know which library in which version
}
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: every answer carries HEADERS."""
    response.headers.update(HEADERS)


def host_check(own_host: str) -> Middleware:
    """Middleware that refuses a request made under a foreign name.

    A page of another site can make its name point at this machine (DNS rebinding) and read the answers; it cannot do
    so under an IP address, `localhost` or the name this box listens on.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        name = _host_name(request.headers.get("Host", ""))
        if name is None or not (_is_address(name) or name in ("localhost", own_host)):
            raise web.HTTPMisdirectedRequest(text="This machine does not go by that name.\n")
        return await handler(request)

    return check


@web.middleware
async def acts_from_own_screen(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: whatever changes something comes from this machine's own screen, on our own page."""
    if request.method not in _SAFE_METHODS:
        own_screen_only(request)
    return await handler(request)


def own_screen_only(request: web.Request) -> None:
    """Refuse whatever is not this machine's own screen, on our own page."""
    if not is_loopback(request) or not is_own_page(request):
        raise web.HTTPForbidden(text="Only this machine's own screen may do that.\n")


def is_loopback_host(host: str) -> bool:
    """Whether a server that listens on `host` is reached from this very machine alone."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_loopback(request: web.Request) -> bool:
    """Whether the request comes from this very machine."""
    return request.remote is not None and ipaddress.ip_address(request.remote).is_loopback


def is_own_page(request: web.Request) -> bool:
    """Whether a browser sent the request from a page of this very server.

    Every browser names the origin of a POST; where it does not, the request came from no page.
    """
    origin = request.headers.get("Origin")
    if origin is None:
        return request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
    return urlsplit(origin).netloc == request.headers.get("Host")


def _host_name(host: str) -> str | None:
    """Name in a Host header without its port, None where it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
