"""What a box says and hears over one connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sync.connection import Connection
from sync.contract.envelope import AnyMessage, Event
from sync.contract.lanes import LANES
from sync.contract.messages import (
    Ack,
    Answer,
    BoxState,
    DirectoryHealth,
    DirectoryPage,
    HealthReport,
    OutboxHealth,
    PlatformState,
    Query,
)
from sync.contract.topics import Lane, Topic, source_of
from sync.edge.directory import NEVER_S, Directory
from sync.edge.outbox import Outbox
from sync.edge.pump import Pump, PumpSettings
from sync.errors import BadMessage, LinkError, LinkLost, LinkRefused, PublishRefused
from sync.packets import Subscription
from sync.post import ask, event_in, post, topic_of

log = logging.getLogger(__name__)

# The platform confirms the directory every 25 s; after this long without a page it is asked again.
_DIRECTORY_QUIET_S = 45.0
_FAREWELL_S = 1.0


@dataclass(frozen=True, slots=True)
class Home:
    """What a session serves: the box's name, its stores, and how its parts are."""

    district: str
    box: str
    outbox: Outbox
    directory: Directory
    parts: Callable[[], Mapping[str, str]]
    started_s: float  # monotonic

    def topic(self, lane: Lane) -> Topic:
        """`lane` of this box, or of its district for the platform's."""
        return Topic(self.district, lane) if lane is Lane.PLATFORM else Topic(self.district, lane, self.box)

    def event(self, message: AnyMessage) -> Event:
        return Event.of(message, source_of(self.district, self.box))

    async def health(self) -> HealthReport:
        """How the box is now."""
        outbox = await self.outbox.status()
        freshness, age_s = self.directory.freshness()
        return HealthReport(
            uptime_s=time.monotonic() - self.started_s,
            outbox=OutboxHealth(
                outbox.last_seq, outbox.unacknowledged, outbox.parked, outbox.oldest_age_s, outbox.used_bytes
            ),
            directory=DirectoryHealth(freshness, age_s if age_s < NEVER_S else None, self.directory.cursor),
            parts=dict(self.parts()),
        )


class Session:
    """The conversation over one connection: birth, records and their acknowledgements, directory, health, queries."""

    def __init__(self, connection: Connection, home: Home, pump: PumpSettings, health_s: float) -> None:
        self.platform_online = False
        self.last_ack_s: float | None = None  # monotonic
        self._connection = connection
        self._home = home
        self._health_s = health_s
        self._pump = Pump(home.outbox, connection, home.district, home.box, pump)
        self._platform = asyncio.Event()
        self._ask_directory = asyncio.Event()
        self._page_s = 0.0  # when the last page came, monotonic

    async def run(self, birth: BoxState, farewell: BoxState) -> None:
        """Serve until the connection is lost (raises LinkLost) or this is cancelled (then the farewell is said)."""
        await self._subscribe()
        await self._say(Lane.STATE, birth)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hear(), name="link: hear")
                group.create_task(self._pump.run(), name="link: pump")
                group.create_task(self._report_health(), name="link: health")
                group.create_task(self._follow_directory(), name="link: directory")
        finally:
            with contextlib.suppress(LinkError, TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._say(Lane.STATE, farewell)

    async def query(self, person_key: str, budget_s: float) -> Answer:
        """Ask the platform for one person. Raises LinkLost, NoAnswer, BadMessage."""
        if not self.platform_online:
            raise LinkLost("the platform is away")
        question = self._home.event(Query(person_key))
        event = await ask(self._connection, self._home.topic(Lane.QUERY), question, budget_s=budget_s)
        answer = event.message(Answer)
        if answer.status is not None and answer.status.person_key != person_key:
            raise BadMessage("the answer is about another person")
        return answer

    async def _subscribe(self) -> None:
        # Lanes that carry orders are not subscribed to before their signatures are checked.
        heard = (Lane.ACK, Lane.ANSWER, Lane.DIRECTORY, Lane.PLATFORM)
        await self._connection.subscribe(
            *(
                Subscription(str(self._home.topic(lane)), LANES[lane].qos, no_local=lane is Lane.DIRECTORY)
                for lane in heard
            )
        )

    async def _say(self, lane: Lane, message: AnyMessage) -> None:
        try:
            await post(self._connection, self._home.topic(lane), self._home.event(message))
        except PublishRefused as exc:
            raise LinkRefused(f"{lane}: {exc}") from exc

    async def _hear(self) -> None:
        async for message in self._connection.messages():
            try:
                await self._handle(topic_of(message).lane, event_in(message))
            except BadMessage as exc:
                log.warning("%s: dropped: %s", message.topic, exc)

    async def _handle(self, lane: Lane, event: Event) -> None:
        match lane:
            case Lane.ACK:
                await self._pump.acknowledged(event.message(Ack))
                self.last_ack_s = time.monotonic()
            case Lane.PLATFORM:
                self._platform_is(online=event.message(PlatformState).online)
            case Lane.DIRECTORY:
                await self._take_page(event.message(DirectoryPage))
            case Lane.ANSWER:
                pass  # the answer to a question that nobody waits for any more
            case _:
                raise BadMessage(f"nothing is expected on {lane}")

    def _platform_is(self, *, online: bool) -> None:
        self.platform_online = online
        self._pump.platform_is(online=online)
        if online:
            self._ask_directory.set()
            self._platform.set()
        else:
            self._platform.clear()

    async def _take_page(self, page: DirectoryPage) -> None:
        self._page_s = time.monotonic()
        if not await self._home.directory.take(page):
            self._ask_directory.set()

    async def _follow_directory(self) -> None:
        while True:
            await self._platform.wait()
            self._ask_directory.clear()
            self._page_s = time.monotonic()
            await self._say(Lane.DIRECTORY, self._home.directory.request())
            while not self._ask_directory.is_set() and time.monotonic() < self._page_s + _DIRECTORY_QUIET_S:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._page_s + _DIRECTORY_QUIET_S - time.monotonic()):
                        await self._ask_directory.wait()

    async def _report_health(self) -> None:
        while True:
            await self._say(Lane.HEALTH, await self._home.health())
            await asyncio.sleep(self._health_s)
