"""The routes of the staff view: a PIN opens a session, which every action requires, on this machine's own screen."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from config.settings import Fraction, Language
from edge_agent.kiosk.guard import own_screen_only
from edge_agent.kiosk.serving import json_response
from edge_agent.kiosk.touch import read_body
from edge_agent.staff.actions import OverrideReason, StaffActions, UnknownPassage
from edge_agent.staff.pin import PinLock, PinResult

COOKIE = "staff"
SESSION_S = 300.0  # without a touch

_STATUS = {PinResult.WRONG: 403, PinResult.LOCKED: 429, PinResult.SHUT: 409}


class _Pin(msgspec.Struct, forbid_unknown_fields=True):
    pin: Annotated[str, Meta(max_length=32)]


class _Override(msgspec.Struct, forbid_unknown_fields=True):
    passage_id: Annotated[str, Meta(max_length=64)]
    why: OverrideReason


class _Release(msgspec.Struct, forbid_unknown_fields=True):
    why: OverrideReason


class _Volume(msgspec.Struct, forbid_unknown_fields=True):
    share: Fraction


class _DefaultLanguage(msgspec.Struct, forbid_unknown_fields=True):
    language: Language


class StaffRoutes:
    """The routes; one session at a time, a new one ends the old one."""

    def __init__(self, actions: StaffActions, lock: PinLock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._actions = actions
        self._lock = lock
        self._monotonic = monotonic
        self._token: str | None = None
        self._until_s = 0.0

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get("/staff/door", self._door, allow_head=False)
        router.add_post("/staff/enter", self._enter)
        router.add_post("/staff/leave", self._leave)
        router.add_get("/staff/overview", self._overview, allow_head=False)
        router.add_post("/staff/override", self._override)
        router.add_post("/staff/gate", self._gate)
        router.add_post("/staff/volume", self._volume)
        router.add_post("/staff/language", self._language)

    async def _door(self, request: web.Request) -> web.Response:
        """Whether a PIN is set, for how long it is locked, and whether this screen has a session."""
        own_screen_only(request)
        state = {"set": self._lock.is_set, "locked_s": round(self._lock.locked_s), "inside": self._has_session(request)}
        return json_response(state)

    async def _enter(self, request: web.Request) -> web.Response:
        result = await self._lock.try_pin((await read_body(request, _Pin)).pin)
        if result is not PinResult.OPEN:
            if result is PinResult.WRONG and self._lock.take_alarm():
                await self._actions.note_wrong_pins()
            return json_response({"door": result, "locked_s": round(self._lock.locked_s)}, _STATUS[result])
        self._token, self._until_s = secrets.token_urlsafe(32), self._monotonic() + SESSION_S
        await self._actions.note_entry()
        response = json_response({"door": result, "locked_s": 0})
        response.set_cookie(COOKIE, self._token, path="/staff", httponly=True, samesite="Strict")
        return response

    async def _leave(self, request: web.Request) -> web.Response:
        self._check(request)
        self._token = None
        response = web.Response(status=204)
        response.del_cookie(COOKIE, path="/staff")
        return response

    async def _overview(self, request: web.Request) -> web.Response:
        self._check(request, touch=False)
        return json_response(await self._actions.overview())

    async def _override(self, request: web.Request) -> web.Response:
        self._check(request)
        requested = await read_body(request, _Override)
        try:
            opened = await self._actions.override(requested.passage_id, requested.why)
        except UnknownPassage as exc:
            raise web.HTTPNotFound(text="Not among the last passages.\n") from exc
        return json_response({"opened": opened})

    async def _gate(self, request: web.Request) -> web.Response:
        self._check(request)
        return json_response({"opened": await self._actions.release_gate((await read_body(request, _Release)).why)})

    async def _volume(self, request: web.Request) -> web.Response:
        self._check(request)
        self._actions.set_volume((await read_body(request, _Volume)).share)
        return web.Response(status=204)

    async def _language(self, request: web.Request) -> web.Response:
        self._check(request)
        self._actions.speak((await read_body(request, _DefaultLanguage)).language)
        return web.Response(status=204)

    def _check(self, request: web.Request, *, touch: bool = True) -> None:
        """Raises HTTPForbidden or HTTPUnauthorized without a session; with `touch` the session is extended."""
        own_screen_only(request)
        if not self._has_session(request):
            raise web.HTTPUnauthorized(text="PIN required.\n")
        if touch:
            self._until_s = self._monotonic() + SESSION_S

    def _has_session(self, request: web.Request) -> bool:
        token = request.cookies.get(COOKIE, "")
        valid = self._token is not None and secrets.compare_digest(token.encode(), self._token.encode())
        return valid and self._monotonic() < self._until_s
