"""The card reader part: polls a SAM-V reader for a card."""

from __future__ import annotations

import asyncio
import time

from drivers.contract import CardRead, CardUnreadable
from drivers.device_health import MonitoredDevice
from drivers.errors import DeviceLost
from drivers.latest import Latest
from drivers.readers.errors import CodeMalformed
from drivers.readers.id_card import read_card
from drivers.readers.repeats import InView
from drivers.readers.sam_v import FAULTS, FIND, FOUND, OK, READ, SELECT, SamVReplies, SamVReply
from drivers.serial_line.serial_line import SerialLine

POLL_S = 0.25
ANSWER_LIMIT_S = 1.0
READ_LIMIT_S = 3.0  # 112 ms on the wire; the rest is time of the card
SILENCE_S = 4.0  # a reader answers every query; longer than the time of a slow card
QUIET_S = 0.2  # silence that ends a reply
MISREADS_TO_REPORT = 4  # failed reads of one card before it is reported: about two seconds
REPEAT_S = 3.0  # a card at the edge of the field may be lost for a moment without being removed


class SamVReader(MonitoredDevice):
    """The newest card. A card is read once and must then be removed, as the readers themselves require."""

    def __init__(self, line: SerialLine, poll_s: float = POLL_S) -> None:
        super().__init__(line.device_health)
        self.device_health.counters.update(cards=0, malformed=0, repeats=0, misread=0)
        self._line = line
        self._poll_s = poll_s
        self._replies = SamVReplies()
        self._in_view = InView(REPEAT_S, most=2)
        self._cards: Latest[CardRead | CardUnreadable] = Latest()
        self._answer: asyncio.Future[SamVReply] | None = None

    @property
    def counters(self) -> dict[str, int]:
        """Counts of the line, the frames and the cards."""
        return {**self.device_health.counters, **self._replies.counters, "replaced": self._cards.replaced}

    @property
    def cards(self) -> Latest[CardRead | CardUnreadable]:
        """The newest card."""
        return self._cards

    async def run(self) -> None:
        """Poll and read until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._line.run(self._take), name=f"{self.name} line")
            tasks.create_task(self._poll(), name=f"{self.name} poll")

    async def _poll(self) -> None:
        was_read, misreads = False, 0
        while True:
            try:
                if not await self._found():
                    was_read, misreads = False, 0
                elif not was_read:
                    was_read = await self._read()
                    misreads += not was_read
                    if misreads == MISREADS_TO_REPORT:
                        self._put(CardUnreadable(time.monotonic()))
            except DeviceLost:  # the line detects this itself and reopens
                was_read, misreads = False, 0
            await asyncio.sleep(self._poll_s)

    async def _found(self) -> bool:
        """Whether a card lies on the reader."""
        status = (await self._ask(FIND, ANSWER_LIMIT_S)).status
        if status in FAULTS:
            self.device_health.broken(FAULTS[status])
        else:
            self.device_health.ok()
        return status == FOUND

    async def _read(self) -> bool:
        """Select and read the card; returns False when it must be found again first."""
        if (await self._ask(SELECT, ANSWER_LIMIT_S)).status == OK:
            text = (await self._ask(READ, READ_LIMIT_S)).text
            if text is not None:
                self._put(self._decoded(text))
                return True
        self.device_health.counters["misread"] += 1
        return False

    def _decoded(self, text: bytes) -> CardRead | CardUnreadable:
        at_s = time.monotonic()
        try:
            return read_card(text, at_s)
        except CodeMalformed:
            self.device_health.counters["malformed"] += 1
            return CardUnreadable(at_s)

    def _put(self, card: CardRead | CardUnreadable) -> None:
        """Deliver a card, once per presentation."""
        if self._in_view.passes(card.number if isinstance(card, CardRead) else "", card.taken_at_s):
            self.device_health.counters["cards"] += 1
            self._cards.put(card)
        else:
            self.device_health.counters["repeats"] += 1

    async def _ask(self, query: bytes, limit_s: float) -> SamVReply:
        """Send `query` and return the reply. A late reply to an earlier query is never taken for a card."""
        self._answer = asyncio.get_running_loop().create_future()
        await self._line.write(query)
        try:
            async with asyncio.timeout(limit_s):
                return await self._answer
        except TimeoutError as exc:
            raise DeviceLost(f"{self.name} does not answer") from exc

    def _take(self, data: bytes, at_s: float) -> bool:
        replies = self._replies.feed(data, at_s)
        if replies and self._answer is not None and not self._answer.done():
            self._answer.set_result(replies[0])
        return bool(replies)
