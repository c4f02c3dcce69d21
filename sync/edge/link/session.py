"""The protocol of a box over one connection."""

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
    HealthReport,
    PlatformState,
    Query,
    QueryAnswer,
)
from sync.contract.signed import Signed
from sync.contract.topics import Channel, Topic
from sync.edge.link.box_context import BoxContext
from sync.edge.link.clone_detector import CloneDetector
from sync.edge.link.sender import Sender, SenderSettings
from sync.errors import BadMessage, LinkError, LinkLost, LinkRefused, PublishRefused, StoreFailed
from sync.interruptible_sleep import happened, rest
from sync.mqtt.connection import Connection
from sync.mqtt.events import ask, decode_event, publish_event, topic_from
from sync.mqtt.packets import Subscription

log = logging.getLogger(__name__)

# The platform confirms the directory every 25 s; after this time without a page the box requests one.
_DIRECTORY_QUIET_S = 45.0
_FAREWELL_S = 1.0
_HEALTH_PAUSE_S = 10.0  # at least between two health reports


class Session:
    """Serves one connection: birth, records and acknowledgements, directory, orders, health reports and queries."""

    def __init__(
        self,
        connection: Connection,
        context: BoxContext,
        clone_detector: CloneDetector,
        sender: SenderSettings,
        health_s: float,
    ) -> None:
        self.last_ack_s: float | None = None  # monotonic
        self.reconnect_spread_s: float | None = None  # last value from the platform
        self._announced_online = False  # by the platform
        self._platform_boot_id: str | None = None
        self._connection = connection
        self._context = context
        self._clone_detector = clone_detector
        self._health_s = health_s
        self._sender = Sender(context.ledger, connection, context.district, context.box, sender)
        self._platform = asyncio.Event()
        self._request_directory = asyncio.Event()
        self._page_s = 0.0  # when the last page was received, monotonic

    @property
    def platform_online(self) -> bool:
        """Whether the platform commits records: it announced so, and no acknowledgement is overdue."""
        return self._announced_online and not self._sender.platform_is_silent

    @property
    def puback_age_s(self) -> float | None:
        """Seconds since the broker last sent PUBACK or SUBACK; None before the first."""
        return self._connection.reply_age_s

    async def run(self, birth: BoxState, farewell: BoxState) -> None:
        """Serve until the connection is lost or the task is cancelled; then publish `farewell` if possible.

        Raises LinkLost, and DuplicateDevice if another device uses the name of this box.
        """
        await self._connection.subscribe(*self._context.subscriptions())
        event = self._context.event(birth)
        await self._publish_event(Channel.STATE, event)
        self._clone_detector.birth_published(event.time)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive(), name="link: receive")
                group.create_task(self._sender.run(), name="link: send")
                group.create_task(self._report_health(), name="link: health")
                group.create_task(self._follow_directory(), name="link: directory")
        finally:
            with contextlib.suppress(LinkError, StoreFailed, TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._publish(Channel.STATE, farewell)
                    await self._publish(Channel.HEALTH, await self._context.health())  # the end of the ledger

    async def query(self, person_key: str, budget_s: float) -> QueryAnswer:
        """Ask the platform for one person. Raises LinkLost, NoAnswer, BadMessage."""
        if not self.platform_online:
            raise LinkLost("platform offline")
        question = self._context.event(Query(person_key))
        event = await ask(self._connection, self._context.topic(Channel.QUERY), question, budget_s=budget_s)
        answer = event.message(QueryAnswer)
        if answer.status is not None and answer.status.person_key != person_key:
            raise BadMessage("the answer is about another person")
        return answer

    async def _publish(self, channel: Channel, message: AnyMessage) -> None:
        await self._publish_event(channel, self._context.event(message))

    async def _publish_event(self, channel: Channel, event: Event) -> None:
        try:
            await publish_event(self._connection, self._context.topic(channel), event)
        except PublishRefused as exc:
            raise LinkRefused(f"{channel}: {exc}") from exc

    async def _receive(self) -> None:
        async for message in self._connection.messages():
            try:
                await self._handle(topic_from(message), decode_event(message))
            except BadMessage as exc:
                log.warning("%s: dropped: %s", message.topic, exc)

    async def _handle(self, topic: Topic, event: Event) -> None:
        match topic.channel:
            case Channel.ACK:
                await self._sender.acknowledged(event.message(Ack))
                self.last_ack_s = time.monotonic()
            case Channel.PLATFORM:
                self._set_platform(event.message(PlatformState))
            case Channel.DIRECTORY:
                page = event.message(DirectoryPage)
                self._context.on_platform_time(event.time)
                await self._take_page(page)
            case Channel.STATE:
                await self._clone_detector.check(event)
            case Channel.ANSWER:
                pass  # an answer after its timeout
            case Channel.REVOCATION | Channel.DESIRED | Channel.COMMAND | Channel.BROADCAST if (
                self._context.orders is not None
            ):
                answer = await self._context.orders.handle(topic, event.message(Signed), self._context.directory.revoke)
                if answer is not None:
                    await self._publish(Channel.REPORTED, answer)
            case _:
                raise BadMessage(f"no message is expected on {topic.channel}")

    def _set_platform(self, state: PlatformState) -> None:
        same_process = state.online and self._announced_online and state.boot_id == self._platform_boot_id is not None
        self._announced_online, self._platform_boot_id = state.online, state.boot_id
        if same_process:
            self.reconnect_spread_s = state.reconnect_spread_s
            self._sender.set_rate(state.backlog_per_s)
            return
        self._sender.set_platform(online=state.online, backlog_per_s=state.backlog_per_s)
        if state.online:
            self.reconnect_spread_s = state.reconnect_spread_s
            self._request_directory.set()
            self._platform.set()
        else:
            self._platform.clear()

    async def _take_page(self, page: DirectoryPage) -> None:
        self._page_s = time.monotonic()
        if not self._announced_online:
            # A platform that sends pages is online: the will of its previous connection arrived after its new birth.
            # Subscribing again delivers the retained birth.
            await self._connection.subscribe(
                Subscription(str(self._context.topic(Channel.PLATFORM)), CHANNEL_RULES[Channel.PLATFORM].qos)
            )
        if not await self._context.directory.take(page):
            self._request_directory.set()

    async def _follow_directory(self) -> None:
        while True:
            await happened(self._platform)
            self._request_directory.clear()
            self._page_s = time.monotonic()
            await self._publish(Channel.DIRECTORY, self._context.directory.request())
            while (
                not self._request_directory.is_set()
                and (left_s := self._page_s + _DIRECTORY_QUIET_S - time.monotonic()) > 0
            ):
                await happened(self._request_directory, left_s)

    async def _report_health(self) -> None:
        """Report regularly, and soon after all records were acknowledged, to confirm the end of the ledger."""
        changed = asyncio.Event()
        with self._context.ledger.changes.subscribe(changed):
            while True:
                report = await self._context.health()
                due_s = time.monotonic() + self._health_s
                await self._publish(Channel.HEALTH, report)
                await rest(min(self._health_s, _HEALTH_PAUSE_S))
                while (left_s := due_s - time.monotonic()) > 0 and not await self._is_news(report):
                    changed.clear()
                    await happened(changed, left_s)

    async def _is_news(self, report: HealthReport) -> bool:
        """Whether all records were acknowledged since `report`, or further ones."""
        old = report.outbox
        return (
            self._context.ledger.last_seq > old.last_seq or old.unacknowledged > 0
        ) and await self._context.ledger.is_drained()
