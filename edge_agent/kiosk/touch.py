"""The actions of the residents' page: choose the language, call staff."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from aiohttp import web

from config.settings import Language

BODY_CAP_BYTES = 2_000
BODY_LIMIT_S = 5.0
T = TypeVar("T")


class LanguageTouch(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a choice of language."""

    language: Language


async def read_body(request: web.Request, kind: type[T]) -> T:
    """The JSON body as `kind`; other content types are refused, because another site could send them as a form.

    The application's `client_max_size` limits the body to BODY_CAP_BYTES.
    """
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="Expected JSON.\n")
    try:
        async with asyncio.timeout(BODY_LIMIT_S):
            data = await request.read()
    except TimeoutError as exc:
        raise web.HTTPRequestTimeout(text="Request body timed out.\n") from exc
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
        self._choose_language((await read_body(request, LanguageTouch)).language)
        return web.Response(status=204)

    async def _staff(self, request: web.Request) -> web.Response:
        await read_body(request, dict)
        await self._call_staff()
        return web.Response(status=204)
