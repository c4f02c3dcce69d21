"""The fleet page and its statistics over HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from sync.contract.records import AlarmRaised, PassageClosed, PassageDecided
from sync.platform.fleet.fleet import BoxView, Fleet
from sync.platform.http_server.limited_server import DEFAULT_LIMITS, LimitedServer, ServerLimits
from sync.platform.records.received import from_ms, today
from sync.platform.records.store_contract import RecordStore, Totals
from sync.redaction import printable

_PAGE = Path(__file__).with_name("fleet.html")
_ALARMS_SHOWN = 20
_FORKS_SHOWN = 20
_TEXT_SHOWN = 500  # characters
HEADERS = {  # script and style are inline: the page is one file
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Server": "sentinel",
}


class FleetPage:
    """Serves `/` and `/api/stats`; read-only."""

    def __init__(
        self,
        store: RecordStore,
        fleet: Fleet,
        names: Collection[str] = (),
        limits: ServerLimits = DEFAULT_LIMITS,
    ) -> None:
        """`names`: further host names of the page, such as that of a proxy."""
        self._store = store
        self._fleet = fleet
        self._names = names
        self._limits = limits

    @asynccontextmanager
    async def served(self, host: str, port: int) -> AsyncIterator[int]:
        """Serve on `host`; yields the port, which the system chooses if `port` is 0. Raises OSError."""
        async with LimitedServer(self.application(), [host, *self._names], self._limits).served(host, port) as chosen:
            yield chosen

    def application(self) -> web.Application:
        """The routes, without a socket; `openapi.yaml` describes them."""
        application = web.Application()
        application.on_response_prepare.append(_add_headers)
        application.add_routes([web.get("/", self._index), web.get("/api/stats", self._stats)])
        return application

    async def stats(self) -> dict[str, Any]:
        """The statistics of the page: totals, boxes, forks, newest alarms. `duplicates` must be 0."""
        totals = await self._store.totals(today(), _ALARMS_SHOWN)
        forks = await self._store.forks(_FORKS_SHOWN)
        verdicts_today: Counter[str] = Counter()
        for verdicts in totals.verdicts_today.values():
            verdicts_today.update(verdicts)
        return {
            "records": sum(totals.kinds.values()),
            "passages": totals.kinds.get(PassageDecided.TYPE, 0),
            "closed": totals.kinds.get(PassageClosed.TYPE, 0),
            "alarms": totals.kinds.get(AlarmRaised.TYPE, 0),
            "duplicates": totals.duplicates,
            "redelivered": totals.redelivered,
            "verdicts_today": dict(verdicts_today),
            "verdicts": totals.reasons,
            "boxes": [
                _box(self._fleet.view(name), totals, totals.forked.get(name, 0))
                for name in sorted(self._fleet.names() | set(totals.boxes))
            ],
            "forks": [
                {
                    "box": fork.box,
                    "epoch": fork.epoch,
                    "first_seq": fork.first,
                    "records": fork.records,
                    "since": from_ms(fork.since_ms),
                }
                for fork in forks
            ],
            "newest_alarms": [
                {
                    "box": each.box,
                    "received": each.received,
                    "at": each.alarm.raised.wall,
                    "kind": printable(each.alarm.kind[:_TEXT_SHOWN]),
                    "subject": printable(each.alarm.subject[:_TEXT_SHOWN]),
                    "detail": printable(each.alarm.detail[:_TEXT_SHOWN]),
                }
                for each in totals.alarms
            ],
        }

    async def _stats(self, _request: web.Request) -> web.Response:
        answer = web.Response(body=msgspec.json.encode(await self.stats()), content_type="application/json")
        answer.enable_compression()  # 400 kB of a fleet compress to 30 kB
        return answer

    async def _index(self, _request: web.Request) -> web.FileResponse:
        return web.FileResponse(_PAGE)


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _box(view: BoxView, totals: Totals, forked_records: int) -> dict[str, Any]:
    records, last_record = totals.boxes.get(view.box, (0, None))
    outbox = view.health.outbox if view.health else None
    return {
        "box": view.box,
        "online": view.online,
        "last_seen": max((time for time in (view.seen, last_record) if time is not None), default=None),
        "records": records,
        "verdicts_today": totals.verdicts_today.get(view.box, {}),
        "unacknowledged": outbox.unacknowledged if outbox else None,
        "rivals": forked_records,
        "parked": outbox.parked if outbox else None,
        "directory": view.health.directory.freshness if view.health else None,
        "certificate_days": view.health.certificate_days if view.health else None,
        "parts": _printable(view.health.parts) if view.health else {},
        "epoch": view.state.epoch if view.state else None,
        "versions": _printable(view.state.versions) if view.state else {},
    }


def _printable(texts: Mapping[str, str]) -> dict[str, str]:
    return {printable(name): printable(text) for name, text in texts.items()}
