"""Notices numbers that are missing while later ones are there, and asks the box for them again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from sync.contract.envelope import Event
from sync.contract.messages import Ack
from sync.contract.topics import Channel, Topic, source_from
from sync.errors import PublishRefused
from sync.mqtt.connection import Connection
from sync.mqtt.events import publish_event
from sync.platform.records.store_contract import RecordStore, Stream

log = logging.getLogger(__name__)

Ranges = list[tuple[int, int]]
_HEARD_MS = 5 * 60_000  # a box that is silent for longer is not asked: what it sends next shows that it is back
_LOOKS_BETWEEN = 6
_RANGES = 100  # in one question


class GapRequester:
    """A number missing at two looks, `look_s` apart, is asked for, and again every sixth look while it stays away.

    Every process looks; the store lets one of them ask.
    """

    def __init__(self, store: RecordStore, district: str, look_s: float = 10.0) -> None:
        self._store = store
        self._district = district
        self._look_s = look_s
        self._again_ms = int(_LOOKS_BETWEEN * look_s * 1000)
        self._seen: dict[tuple[str, str], Ranges] = {}

    async def serve(self, connection: Connection) -> None:
        """Watch for ever; raises LinkLost."""
        while True:
            await asyncio.sleep(self._look_s)
            now_ms = time.time_ns() // 1_000_000
            streams = await self._store.open_streams(now_ms - _HEARD_MS, now_ms - self._again_ms)
            self._seen = {key: ranges for key, ranges in self._seen.items() if key in {each.key for each in streams}}
            for stream in streams:
                if missing := await self._missing(stream, now_ms):
                    await self._ask(connection, stream, missing)

    async def _missing(self, stream: Stream, now_ms: int) -> Ranges:
        """What to ask the box of `stream` for now; notes in the store how far it is settled."""
        holes = await self._store.holes(stream.box, stream.epoch, stream.settled + 1, stream.highest)
        if holes:
            absent = await self._store.absences(stream.box, stream.epoch)
            holes = without(holes, ((each.first, each.last) for each in absent))
        lasting = common(holes, self._seen.pop(stream.key, []))[:_RANGES]
        settled = holes[0][0] - 1 if holes else stream.highest
        if not await self._store.settle(stream, settled, now_ms if lasting else stream.asked_ms):
            return []
        if holes and not lasting:
            self._seen[stream.key] = holes
        return lasting

    async def _ask(self, connection: Connection, stream: Stream, missing: Ranges) -> None:
        question = Ack(stream.epoch, (), missing=tuple(missing))
        topic = Topic(self._district, Channel.ACK, stream.box)
        try:
            await publish_event(connection, topic, Event.of(question, source_from(self._district, None)))
        except PublishRefused as exc:
            log.warning("asking %s for what is missing: %s", stream.box, exc)


def without(ranges: Iterable[tuple[int, int]], taken: Iterable[tuple[int, int]]) -> Ranges:
    """The numbers of `ranges` that are in none of `taken`; all are inclusive."""
    left = list(ranges)
    for first, last in taken:
        left = [
            part
            for begin, end in left
            for part in ((begin, min(end, first - 1)), (max(begin, last + 1), end))
            if part[0] <= part[1]
        ]
    return left


def common(ranges: Iterable[tuple[int, int]], others: Iterable[tuple[int, int]]) -> Ranges:
    """The numbers of `ranges` that are in `others` too."""
    kept = list(others)
    both = ((max(begin, first), min(end, last)) for begin, end in ranges for first, last in kept)
    return [(first, last) for first, last in both if first <= last]
