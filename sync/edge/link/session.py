"""What a box says and hears over one connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from sync.contract.channels import CHANNEL_RULES
from sync.contract.envelope import AnyMessage, Event
from sync.contract.messages import (
    Ack,
    BoxState,
    DirectoryPage,
    PlatformState,
    Query,
    QueryAnswer,
)
from sync.contract.signed import Signed
from sync.contract.topics import Channel, Topic
from sync.edge.link.box_context import BoxContext
from sync.edge.link.clone_detector import CloneDetector
from sync.edge.link.sender import Sender, SenderSettings
from sync.errors import BadMessage, LinkError, LinkLost, LinkRefused, PublishRefused
from sync.interruptible_sleep import happened, rest
from sync.mqtt.connection import Connection
from sync.mqtt.events import ask, decode_event, publish_event, topic_from
from sync.mqtt.packets import Subscription

log = logging.getLogger(__name__)

# The platform confirms the directory every 25 s; after this long without a page it is asked again.
_DIRECTORY_QUIET_S = 45.0
_FAREWELL_S = 1.0


class Session:
    """The conversation over one connection: birth, records and their acknowledgements, directory, health, queries."""

    def __init__(
        self, connection: Connection, home: BoxContext, own_name: CloneDetector, pump: SenderSettings, health_s: float
    ) -> None:
        self.last_ack_s: float | None = None  # monotonic
        self.reconnect_spread_s: float | None = None  # what the platform last said
        self._says_online = False
        self._platform_boot_id: str | None = None
        self._connection = connection
        self._home = home
        self._own_name = own_name
        self._health_s = health_s
        self._pump = Sender(home.ledger, connection, home.district, home.box, pump)
        self._platform = asyncio.Event()
        self._ask_directory = asyncio.Event()
        self._page_s = 0.0  # when the last page came, monotonic

    @property
    def platform_online(self) -> bool:
        """Whether the platform takes records: it says so, and does not owe us an acknowledgement for long."""
        return self._says_online and not self._pump.platform_is_silent

    @property
    def puback_age_s(self) -> float | None:
        """Seconds since the broker last acknowledged anything."""
        return self._connection.reply_age_s

    async def run(self, birth: BoxState, farewell: BoxState) -> None:
        """Serve until the connection is lost (raises LinkLost) or this is cancelled (then the farewell is said).

        Raises DuplicateDevice when somebody else speaks under our name.
        """
        await self._connection.subscribe(*self._home.subscriptions())
        said = self._home.event(birth)
        await self._post(Channel.STATE, said)
        self._own_name.was_said(said.time)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hear(), name="link: hear")
                group.create_task(self._pump.run(), name="link: pump")
                group.create_task(self._report_health(), name="link: health")
                group.create_task(self._follow_directory(), name="link: directory")
        finally:
            with contextlib.suppress(LinkError, TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._say(Channel.STATE, farewell)

    async def query(self, person_key: str, budget_s: float) -> QueryAnswer:
        """Ask the platform for one person. Raises LinkLost, NoAnswer, BadMessage."""
        if not self.platform_online:
            raise LinkLost("the platform is away")
        question = self._home.event(Query(person_key))
        event = await ask(self._connection, self._home.topic(Channel.QUERY), question, budget_s=budget_s)
        answer = event.message(QueryAnswer)
        if answer.status is not None and answer.status.person_key != person_key:
            raise BadMessage("the answer is about another person")
        return answer

    async def _say(self, channel: Channel, message: AnyMessage) -> None:
        await self._post(channel, self._home.event(message))

    async def _post(self, channel: Channel, event: Event) -> None:
        try:
            await publish_event(self._connection, self._home.topic(channel), event)
        except PublishRefused as exc:
            raise LinkRefused(f"{channel}: {exc}") from exc

    async def _hear(self) -> None:
        async for message in self._connection.messages():
            try:
                await self._handle(topic_from(message), decode_event(message))
            except BadMessage as exc:
                log.warning("%s: dropped: %s", message.topic, exc)

    async def _handle(self, topic: Topic, event: Event) -> None:
        match topic.channel:
            case Channel.ACK:
                await self._pump.acknowledged(event.message(Ack))
                self.last_ack_s = time.monotonic()
            case Channel.PLATFORM:
                self._platform_is(event.message(PlatformState))
            case Channel.DIRECTORY:
                await self._take_page(event.message(DirectoryPage))
            case Channel.STATE:
                await self._own_name.heard(event)
            case Channel.ANSWER:
                pass  # the answer to a question that nobody waits for any more
            case Channel.REVOCATION | Channel.DESIRED | Channel.COMMAND | Channel.BROADCAST if (
                self._home.orders is not None
            ):
                answer = await self._home.orders.take(topic, event.message(Signed), self._home.directory.revoke)
                if answer is not None:
                    await self._say(Channel.REPORTED, answer)
            case _:
                raise BadMessage(f"nothing is expected on {topic.channel}")

    def _platform_is(self, state: PlatformState) -> None:
        goes_on = state.online and self._says_online and state.boot_id == self._platform_boot_id is not None
        self._says_online, self._platform_boot_id = state.online, state.boot_id
        if goes_on:
            self.reconnect_spread_s = state.reconnect_spread_s
            self._pump.pace_is(state.backlog_per_s)
            return
        self._pump.platform_is(online=state.online, backlog_per_s=state.backlog_per_s)
        if state.online:
            self.reconnect_spread_s = state.reconnect_spread_s
            self._ask_directory.set()
            self._platform.set()
        else:
            self._platform.clear()

    async def _take_page(self, page: DirectoryPage) -> None:
        self._page_s = time.monotonic()
        if not self._says_online:
            # Whoever sends pages is there: its farewell came after its next birth, which the broker keeps.
            await self._connection.subscribe(
                Subscription(str(self._home.topic(Channel.PLATFORM)), CHANNEL_RULES[Channel.PLATFORM].qos)
            )
        if not await self._home.directory.take(page):
            self._ask_directory.set()

    async def _follow_directory(self) -> None:
        while True:
            await happened(self._platform)
            self._ask_directory.clear()
            self._page_s = time.monotonic()
            await self._say(Channel.DIRECTORY, self._home.directory.request())
            while (
                not self._ask_directory.is_set()
                and (left_s := self._page_s + _DIRECTORY_QUIET_S - time.monotonic()) > 0
            ):
                await happened(self._ask_directory, left_s)

    async def _report_health(self) -> None:
        while True:
            await self._say(Channel.HEALTH, await self._home.health())
            await rest(self._health_s)
