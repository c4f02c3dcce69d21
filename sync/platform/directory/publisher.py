"""Brings every box's replica up to the city's directory, and confirms it while nothing changes."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import suppress

from sync.contract.envelope import Event
from sync.contract.messages import DirectoryPage, DirectoryRequest
from sync.contract.topics import Channel, Topic, source_from
from sync.errors import PublishRefused
from sync.mqtt.connection import Connection
from sync.mqtt.events import publish_event
from sync.platform.directory.store import DirectoryStore

log = logging.getLogger(__name__)

CONFIRM_S = 25.0  # a replica is FRESH for 60 s after a confirmation: two may be lost
# What changes is sent together with what changes right after it, and behind revocations, which go to all boxes at once.
GATHER_S = 1.0


class DirectoryPublisher:
    """Serves one connection at a time. A box follows from its first request until it goes offline."""

    def __init__(
        self, source: DirectoryStore, district: str, confirm_s: float = CONFIRM_S, gather_s: float = GATHER_S
    ) -> None:
        self._source = source
        self._district = district
        self._confirm_s = confirm_s
        self._gather_s = gather_s
        self._followers: dict[str, DirectoryRequest] = {}  # where each box stands
        self._asked: set[str] = set()
        self._wake = asyncio.Event()
        self._somebody_asks = asyncio.Event()

    def asked(self, box: str, request: DirectoryRequest) -> None:
        """Note that `box` stands at `request` and wants what follows."""
        self._followers[box] = request
        self._asked.add(box)
        self._somebody_asks.set()
        self._wake.set()

    def gone(self, box: str) -> None:
        """Stop following up `box`."""
        self._followers.pop(box, None)

    async def run(self, connection: Connection) -> None:
        """Send pages for ever; raises LinkLost."""
        with self._source.changes.subscribe(self._wake):
            while True:
                everybody = False
                try:
                    async with asyncio.timeout(self._confirm_s):
                        await self._wake.wait()
                    await self._gathered()
                except TimeoutError:
                    everybody = True
                self._wake.clear()
                self._somebody_asks.clear()
                await self._bring_up(connection, self._behind(everybody))

    async def _gathered(self) -> None:
        """Let more changes come; a box that asks is not kept waiting."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._gather_s):
                await self._somebody_asks.wait()

    def _behind(self, everybody: bool) -> list[str]:
        asked, self._asked = self._asked, set()
        newest = self._source.last_op
        return [box for box, at in self._followers.items() if everybody or box in asked or at.cursor != newest]

    async def _bring_up(self, connection: Connection, boxes: list[str]) -> None:
        """Send pages to `boxes` from where each stands up to a checkpoint."""
        while boxes:
            # Most boxes stand at the same place: its page is read and packed once.
            standing: dict[DirectoryRequest, list[tuple[str, DirectoryRequest]]] = defaultdict(list)
            for box in boxes:
                if (at := self._followers.get(box)) is not None:
                    standing[at].append((box, at))
            boxes = []
            for place, group in standing.items():
                page = await self._source.page(place)
                event = Event.of(page, source_from(self._district, None), packed=place.packed and len(page.ops) > 1)
                async with asyncio.TaskGroup() as sending:  # the connection's window bounds how many go at once
                    for box, at in group:
                        sending.create_task(self._send(connection, box, at, page, event), name="directory: page")
                if page.checkpoint is None and not page.start_again:
                    boxes += [box for box, _ in group]

    async def _send(
        self, connection: Connection, box: str, at: DirectoryRequest, page: DirectoryPage, event: Event
    ) -> None:
        try:
            await publish_event(connection, Topic(self._district, Channel.DIRECTORY, box), event)
        except PublishRefused as exc:
            log.warning("directory page to %s: %s", box, exc)
            self.gone(box)
            return
        # A request that came meanwhile wins: the box lost its place.
        if self._followers.get(box) is not at:
            return
        if page.start_again:
            self.gone(box)  # until it asks for a whole copy
        else:
            upto = page.checkpoint.op if page.checkpoint else page.ops[-1].op
            self._followers[box] = DirectoryRequest(page.generation, upto, at.packed)
