"""Detects missing sequence numbers and requests them from the box."""

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
_HEARD_MS = 5 * 60_000  # no request to a box that was silent for longer
_CHECKS_BETWEEN_REQUESTS = 6
_RANGES = 100  # in one request


class GapRequester:
    """Requests a number that is missing at two checks, `interval_s` apart; repeats the request every sixth check.

    A number is missing when the box has sent a later one, or has reported a later one and not that this one waits.

    Every ingest process checks; the store lets one of them send the request.
    """

    def __init__(self, store: RecordStore, district: str, interval_s: float = 10.0) -> None:
        self._store = store
        self._district = district
        self._interval_s = interval_s
        self._repeat_ms = int(_CHECKS_BETWEEN_REQUESTS * interval_s * 1000)
        self._seen: dict[tuple[str, str], Ranges] = {}

    async def serve(self, connection: Connection) -> None:
        """Check until cancelled. Raises LinkLost."""
        while True:
            await asyncio.sleep(self._interval_s)
            now_ms = time.time_ns() // 1_000_000
            streams = await self._store.open_streams(now_ms - _HEARD_MS, now_ms - self._repeat_ms)
            self._seen = {key: ranges for key, ranges in self._seen.items() if key in {each.key for each in streams}}
            for stream in streams:
                if missing := await self._missing(stream, now_ms):
                    await self._request(connection, stream, missing)

    async def _missing(self, stream: Stream, now_ms: int) -> Ranges:
        """The ranges to request for `stream` now; stores up to which number it is settled."""
        holes = await self._store.holes(stream.box, stream.epoch, stream.settled + 1, stream.highest)
        if holes:
            absent = await self._store.absences(stream.box, stream.epoch, holes[0][0], holes[-1][1])
            holes = without(holes, ((each.first, each.last) for each in absent))
        lacking = await self._without_waiting(stream, holes)
        lasting = common(lacking, self._seen.pop(stream.key, []))[:_RANGES]
        settled = holes[0][0] - 1 if holes else stream.highest
        if not await self._store.settle(stream, settled, now_ms if lasting else stream.asked_ms):
            return []
        if lacking and not lasting:
            self._seen[stream.key] = lacking
        return lasting

    async def _without_waiting(self, stream: Stream, holes: Ranges) -> Ranges:
        """`holes` without the numbers that wait on the box, which sends them anyway."""
        ends = await self._store.ends(stream.box) if holes else []
        return without(holes, (each for end in ends if end.epoch == stream.epoch for each in end.waiting))

    async def _request(self, connection: Connection, stream: Stream, missing: Ranges) -> None:
        request = Ack(stream.epoch, (), missing=tuple(missing))
        topic = Topic(self._district, Channel.ACK, stream.box)
        try:
            await publish_event(connection, topic, Event.of(request, source_from(self._district, None)))
        except PublishRefused as exc:
            log.warning("request for missing records to %s: %s", stream.box, exc)


def without(ranges: Iterable[tuple[int, int]], excluded: Iterable[tuple[int, int]]) -> Ranges:
    """The numbers of `ranges` that are in none of `excluded`; ranges are inclusive and may overlap."""
    left, cuts, at = [], sorted(excluded), 0
    for begin, end in _merged(ranges):
        # A cut that ends before this range ends before every later one.
        while at < len(cuts) and cuts[at][0] <= end:
            first, last = cuts[at]
            if first > begin:
                left.append((begin, first - 1))
            begin = max(begin, last + 1)
            if last > end:
                break
            at += 1
        if begin <= end:
            left.append((begin, end))
    return left


def common(ranges: Iterable[tuple[int, int]], others: Iterable[tuple[int, int]]) -> Ranges:
    """The numbers that are in `ranges` and in `others`; ranges are inclusive and may overlap."""
    kept = _merged(ranges)
    return without(kept, without(kept, others))


def _merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """`ranges` in order, those that overlap or touch as one."""
    merged: Ranges = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        elif first <= last:
            merged.append((first, last))
    return merged
