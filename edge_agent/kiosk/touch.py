"""What a touch on the resident's page may do: choose the language, call staff."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from aiohttp import web

from config.settings import Language
from edge_agent.kiosk.guard import is_loopback, is_own_page

BODY_CAP_BYTES = 2_000
T = TypeVar("T")


class LanguageTouch(msgspec.Struct, forbid_unknown_fields=True):
    """A language was touched."""

    language: Language


def own_screen_only(request: web.Request) -> None:
    """Refuse whatever is not this machine's own screen, on our own page."""
    if not is_loopback(request) or not is_own_page(request):
        raise web.HTTPForbidden(text="Only this machine's own screen may do that.\n")


async def body_of(request: web.Request, kind: type[T]) -> T:
    """The small JSON body; a form that another site could send without asking is none."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="Expected JSON.\n")
    data = await request.content.read(BODY_CAP_BYTES)
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as exc:
        raise web.HTTPBadRequest(text=f"{exc}\n") from exc


class TouchRoutes:
    """`POST /touch/language` and `POST /touch/staff`."""

    def __init__(self, choose_language: Callable[[str], None], call_staff: Callable[[], Awaitable[None]]) -> None:
        self._choose_language = choose_language
        self._call_staff = call_staff

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_post("/touch/language", self._language)
        router.add_post("/touch/staff", self._staff)

    async def _language(self, request: web.Request) -> web.Response:
        own_screen_only(request)
        self._choose_language((await body_of(request, LanguageTouch)).language)
        return web.Response(status=204)

    async def _staff(self, request: web.Request) -> web.Response:
        own_screen_only(request)
        await body_of(request, dict)
        await self._call_staff()
        return web.Response(status=204)
