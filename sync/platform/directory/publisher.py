"""Sends directory pages to the boxes, and periodic confirmations while the directory does not change."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import defaultdict
from contextlib import suppress

from sync.contract.envelope import Event
from sync.contract.messages import PAGE_LIMIT, DirectoryPage, DirectoryRequest
from sync.contract.topics import Channel, Topic, source_from
from sync.errors import PublishRefused
from sync.mqtt.budgets import Buckets, Rate
from sync.mqtt.connection import Connection
from sync.mqtt.events import fits, publish_event
from sync.platform.directory.store import DirectoryStore

log = logging.getLogger(__name__)

CONFIRM_S = 25.0  # a replica is FRESH for 60 s after a confirmation: two may be lost
# A change is sent together with the changes that follow within this time, after revocations, which are broadcast.
GATHER_S = 1.0
_COPIES = 4  # positions of copying boxes that are served between two rounds of changes
_COPY_S = 600.0  # a box may copy the whole directory twice, and then once in this time
_SPARE_PAGES = 20
_REQUESTS = Rate(1 / 5, 10)
_BUDGET_CHECK_S = 1.0


class DirectoryPublisher:
    """Serves one connection at a time. Sends pages to a box from its first request until it goes offline.

    A round sends one page to each box that is at most a page behind, then one to the boxes of a few positions further
    back, which copy the directory. So a change waits for a few pages of copies, however many boxes copy. A box that
    requests or copies more than its budget waits for it, alone.
    """

    def __init__(
        self, directory: DirectoryStore, district: str, confirm_s: float = CONFIRM_S, gather_s: float = GATHER_S
    ) -> None:
        self._directory = directory
        self._district = district
        self._confirm_s = confirm_s
        self._gather_s = gather_s
        self._followers: dict[str, DirectoryRequest] = {}  # position of each box; the one served last at the end
        self._requested: set[str] = set()
        self._midway: set[str] = set()  # boxes whose last page had no checkpoint
        self._requests, self._copied_pages = Buckets(), Buckets()
        self._page_limits = dict.fromkeys((False, True), PAGE_LIMIT)  # by whether the box takes packed pages
        self._wake = asyncio.Event()
        self._seen_op = 0
        self._changes_due_s = math.inf  # monotonic, as are the following
        self._confirm_due_s = 0.0

    def follow(self, box: str, request: DirectoryRequest) -> None:
        """Send to `box` what follows its position in `request`."""
        self._followers[box] = request
        self._midway.discard(box)
        self._requested.add(box)
        self._wake.set()

    def unfollow(self, box: str) -> None:
        """Stop sending to `box`."""
        self._followers.pop(box, None)
        self._requested.discard(box)
        self._midway.discard(box)

    async def run(self, connection: Connection) -> None:
        """Send pages until cancelled. Raises LinkLost."""
        self._page_limits = dict.fromkeys((False, True), PAGE_LIMIT)
        self._seen_op, self._confirm_due_s = self._directory.last_op, time.monotonic() + self._confirm_s
        self._changes_due_s = time.monotonic()  # since the last connection
        with self._directory.changes.subscribe(self._wake):
            while True:
                self._wake.clear()
                now_s = time.monotonic()
                self._note_changes(now_s)
                near, far = self._due(now_s)
                copies = self._next_copies(far, now_s)
                await self._send_pages(connection, near)
                await self._send_pages(connection, copies)
                if not near and not copies:
                    await self._wait(over_budget=bool(far or self._requested))

    def _note_changes(self, now_s: float) -> None:
        """Changes are sent together with those that follow within `gather_s`."""
        if self._directory.last_op != self._seen_op:
            self._seen_op = self._directory.last_op
            self._changes_due_s = min(self._changes_due_s, now_s + self._gather_s)

    def _due(self, now_s: float) -> tuple[list[str], list[str]]:
        """The boxes to which a page is due: those at most a page behind, and those that copy."""
        newest = self._directory.last_op
        confirm, changes = now_s >= self._confirm_due_s, now_s >= self._changes_due_s
        if confirm:
            self._confirm_due_s = now_s + self._confirm_s
        if changes:
            self._changes_due_s = math.inf
        asking = {box for box in self._requested if self._requests.take(box, 1, _REQUESTS, now_s)}
        self._requested -= asking
        near, far = [], []
        for box, at in self._followers.items():
            if box in self._requested:
                continue  # beyond its budget: later
            if newest - at.cursor > PAGE_LIMIT:
                self._midway.add(box)
                far.append(box)
            elif box in asking or box in self._midway or confirm or (changes and at.cursor != newest):
                near.append(box)
        return near, far

    def _next_copies(self, boxes: list[str], now_s: float) -> list[str]:
        """The boxes at the next positions that copy, which have not spent their budget; they go to the end."""
        copy_pages = self._directory.last_op / PAGE_LIMIT
        rate = Rate(copy_pages / _COPY_S, 2 * copy_pages + _SPARE_PAGES)
        chosen: list[str] = []
        positions: set[DirectoryRequest] = set()
        for box in boxes:
            at = self._followers[box]
            if len(positions | {at}) <= _COPIES and self._copied_pages.take(box, 1, rate, now_s):
                positions.add(at)
                chosen.append(box)
        for box in chosen:
            self._followers[box] = self._followers.pop(box)
        return chosen

    async def _wait(self, *, over_budget: bool) -> None:
        """Wait until a page may be due; `over_budget`: a box waits for its budget."""
        due_s = min(self._confirm_due_s, self._changes_due_s)
        if over_budget:
            due_s = min(due_s, time.monotonic() + _BUDGET_CHECK_S)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.0, due_s - time.monotonic())):
                await self._wake.wait()

    async def _send_pages(self, connection: Connection, boxes: list[str]) -> None:
        """Send one page to each of `boxes`, from its position."""
        # Most boxes have the same position: its page is read and packed once.
        by_position: dict[DirectoryRequest, list[tuple[str, DirectoryRequest]]] = defaultdict(list)
        for box in boxes:
            if (at := self._followers.get(box)) is not None:
                by_position[at].append((box, at))
        for position, group in by_position.items():
            longest = max((box for box, _ in group), key=len)
            page, event = await self._fitting_page(connection, longest, position)
            async with asyncio.TaskGroup() as sending:  # the connection's window limits how many are sent at once
                for box, at in group:
                    sending.create_task(self._send(connection, box, at, page, event), name="directory: page")

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
            (self._midway.discard if page.checkpoint else self._midway.add)(box)
