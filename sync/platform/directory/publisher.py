"""Sends directory pages to the boxes, and periodic confirmations while the directory does not change."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import suppress

from sync.contract.envelope import Event
from sync.contract.messages import PAGE_LIMIT, DirectoryPage, DirectoryRequest
from sync.contract.topics import Channel, Topic, source_from
from sync.errors import PublishRefused
from sync.mqtt.connection import Connection
from sync.mqtt.events import fits, publish_event
from sync.platform.directory.store import DirectoryStore

log = logging.getLogger(__name__)

CONFIRM_S = 25.0  # a replica is FRESH for 60 s after a confirmation: two may be lost
# A change is sent together with the changes that follow within this time, after revocations, which are broadcast.
GATHER_S = 1.0


class DirectoryPublisher:
    """Serves one connection at a time. Sends pages to a box from its first request until it goes offline."""

    def __init__(
        self, directory: DirectoryStore, district: str, confirm_s: float = CONFIRM_S, gather_s: float = GATHER_S
    ) -> None:
        self._directory = directory
        self._district = district
        self._confirm_s = confirm_s
        self._gather_s = gather_s
        self._followers: dict[str, DirectoryRequest] = {}  # position of each box
        self._requested: set[str] = set()
        self._page_limits = dict.fromkeys((False, True), PAGE_LIMIT)  # by whether the box takes packed pages
        self._wake = asyncio.Event()
        self._request_arrived = asyncio.Event()

    def follow(self, box: str, request: DirectoryRequest) -> None:
        """Send to `box` what follows its position in `request`."""
        self._followers[box] = request
        self._requested.add(box)
        self._request_arrived.set()
        self._wake.set()

    def unfollow(self, box: str) -> None:
        """Stop sending to `box`."""
        self._followers.pop(box, None)

    async def run(self, connection: Connection) -> None:
        """Send pages until cancelled. Raises LinkLost."""
        self._page_limits = dict.fromkeys((False, True), PAGE_LIMIT)
        with self._directory.changes.subscribe(self._wake):
            while True:
                all_boxes = False
                try:
                    async with asyncio.timeout(self._confirm_s):
                        await self._wake.wait()
                    await self._gather()
                except TimeoutError:
                    all_boxes = True
                self._wake.clear()
                self._request_arrived.clear()
                await self._send_pages(connection, self._behind(all_boxes))

    async def _gather(self) -> None:
        """Wait for further changes, unless a box requests a page."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._gather_s):
                await self._request_arrived.wait()

    def _behind(self, all_boxes: bool) -> list[str]:
        requested, self._requested = self._requested, set()
        newest = self._directory.last_op
        return [box for box, at in self._followers.items() if all_boxes or box in requested or at.cursor != newest]

    async def _send_pages(self, connection: Connection, boxes: list[str]) -> None:
        """Send pages to `boxes`, from the position of each up to a checkpoint."""
        while boxes:
            # Most boxes have the same position: its page is read and packed once.
            by_position: dict[DirectoryRequest, list[tuple[str, DirectoryRequest]]] = defaultdict(list)
            for box in boxes:
                if (at := self._followers.get(box)) is not None:
                    by_position[at].append((box, at))
            boxes = []
            for position, group in by_position.items():
                longest = max((box for box, _ in group), key=len)
                page, event = await self._fitting_page(connection, longest, position)
                async with asyncio.TaskGroup() as sending:  # the connection's window limits how many are sent at once
                    for box, at in group:
                        sending.create_task(self._send(connection, box, at, page, event), name="directory: page")
                if page.checkpoint is None and not page.start_again:
                    boxes += [box for box, _ in group]

    async def _fitting_page(
        self, connection: Connection, box: str, position: DirectoryRequest
    ) -> tuple[DirectoryPage, Event]:
        """The page after `position`, and its message to `box`, as large as the broker accepts.

        A single operation that is too large is returned too; sending it reports the sizes.
        """
        while True:
            limit = self._page_limits[position.packed]
            page = await self._directory.page(position, limit)
            packed = position.packed and len(page.ops) > 1
            event = Event.of(page, source_from(self._district, None), packed=packed)
            if len(page.ops) <= 1 or fits(connection, Topic(self._district, Channel.DIRECTORY, box), event):
                return page, event
            self._page_limits[position.packed] = limit = len(page.ops) // 2
            log.warning(
                "directory pages: the broker accepts packets of %d bytes, so a page has at most %d changes",
                connection.max_packet_bytes,
                limit,
            )

    async def _send(
        self, connection: Connection, box: str, at: DirectoryRequest, page: DirectoryPage, event: Event
    ) -> None:
        try:
            await publish_event(connection, Topic(self._district, Channel.DIRECTORY, box), event)
        except PublishRefused as exc:
            log.warning("directory page to %s: %s", box, exc)
            self.unfollow(box)
            return
        # A newer request replaces this position.
        if self._followers.get(box) is not at:
            return
        if page.start_again:
            self.unfollow(box)  # until it requests a complete copy
        else:
            upto = page.checkpoint.op if page.checkpoint else page.ops[-1].op
            self._followers[box] = DirectoryRequest(page.generation, upto, at.packed)
