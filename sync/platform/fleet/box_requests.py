"""Handles messages of boxes other than records: states, health reports, queries, directory requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from datetime import UTC, datetime

from sync.contract.channels import CHANNEL_RULES, Direction
from sync.contract.envelope import Event
from sync.contract.health import LookupOutcome
from sync.contract.messages import (
    BoxState,
    DirectoryRequest,
    HealthReport,
    PlatformState,
    Query,
    QueryAnswer,
)
from sync.contract.topics import Channel, Topic, every_box, source_from
from sync.errors import BadMessage, LinkError
from sync.mqtt.budgets import BoxBudgets
from sync.mqtt.connection import Connection
from sync.mqtt.events import box_from, decode_event, publish_event, topic_from
from sync.mqtt.packets import Message, Subscription
from sync.platform.directory.publisher import DirectoryPublisher
from sync.platform.directory.store import DirectoryStore
from sync.platform.fleet.fleet import Fleet
from sync.platform.fleet.reported_ends import ReportedEnds

log = logging.getLogger(__name__)

_CHANNELS = (Channel.STATE, Channel.HEALTH, Channel.QUERY, Channel.DIRECTORY)
_OFFLINE_LIMIT_S = 1.0
_CHECK_INTERVAL_S = 1.0
_GROWTH = 1.1  # of the fleet, after which the state is published again
_RECONNECTS_PER_S = 16.0  # of a fleet after a broker outage: the first attempts of 948 boxes take a minute


class BoxRequestHandler:
    """Serves one connection at a time. Announces the platform online when `ready` is set: ingest accepts records."""

    def __init__(
        self,
        fleet: Fleet,
        directory: DirectoryStore,
        publisher: DirectoryPublisher,
        district: str,
        ready: asyncio.Event,
        backlog_per_s: float | None = None,
        *,
        ends: ReportedEnds,
    ) -> None:
        self._fleet = fleet
        self._directory = directory
        self._publisher = publisher
        self._district = district
        self._ready = ready
        self._backlog_per_s = backlog_per_s
        self._ends = ends
        self._budgets = BoxBudgets()
        self._boot_id = secrets.token_hex(8)

    async def serve(self, connection: Connection) -> None:
        """Serve until the connection is lost (raises LinkLost) or cancelled; then announces the platform offline."""
        # Without `no_local` the pages of the platform come back on the directory channel.
        await connection.subscribe(
            *(
                Subscription(
                    every_box(self._district, lane), CHANNEL_RULES[lane].qos, no_local=lane is Channel.DIRECTORY
                )
                for lane in _CHANNELS
            )
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive(connection), name="requests: receive")
                group.create_task(self._publisher.run(connection), name="requests: directory")
                await self._ready.wait()
                await self._announce_online(connection)
        finally:
            with contextlib.suppress(LinkError, TimeoutError):
                async with asyncio.timeout(_OFFLINE_LIMIT_S):
                    await self._publish_state(connection, online=False)

    async def _publish_state(self, connection: Connection, *, online: bool) -> None:
        state = PlatformState(online=False)
        if online:
            boxes = max(1, self._fleet.online())
            share = self._backlog_per_s / boxes if self._backlog_per_s else None
            spread_s = max(1.0, boxes / _RECONNECTS_PER_S)
            state = PlatformState(True, share, spread_s, self._boot_id)
        await publish_event(connection, Topic(self._district, Channel.PLATFORM), platform_event(self._district, state))

    async def _announce_online(self, connection: Connection) -> None:
        """Publish the state now, and again when the fleet has grown, which changes the share and the spread."""
        while True:
            boxes = self._fleet.online()
            await self._publish_state(connection, online=True)
            while self._fleet.online() <= _GROWTH * max(1, boxes):
                await asyncio.sleep(_CHECK_INTERVAL_S)

    async def _receive(self, connection: Connection) -> None:
        async for message in connection.messages():
            try:
                await self._handle(connection, message)
            except BadMessage as exc:
                if self._budgets.may_log(message.topic):
                    log.warning("%s: dropped: %s", message.topic, exc)

    async def _handle(self, connection: Connection, message: Message) -> None:
        topic = topic_from(message)
        box = box_from(topic)
        if not message.retained and not self._budgets.allows(topic.channel, box, len(message.body)):
            return
        event = decode_event(message, Direction.UP)
        now = datetime.now(UTC)
        seen = min(event.time, now) if message.retained else now
        match topic.channel:
            case Channel.STATE:
                state = event.message(BoxState)
                self._fleet.state(box, state, seen)
                if not state.online:
                    self._publisher.unfollow(box)
            case Channel.HEALTH:
                report = event.message(HealthReport)
                self._fleet.health(box, report, seen)
                self._ends.note(box, report, int(now.timestamp() * 1000))
            case Channel.QUERY:
                await self._answer(connection, box, event.message(Query), message)
            case Channel.DIRECTORY:
                request = event.message(DirectoryRequest)
                self._publisher.follow(box, request)

    async def _answer(self, connection: Connection, box: str, query: Query, message: Message) -> None:
        """Answer on the answer channel of `box` only, whatever response topic the query names."""
        topic = Topic(self._district, Channel.ANSWER, box)
        correlation = message.properties.correlation
        if correlation is None or message.properties.response_topic != str(topic):
            raise BadMessage("a query needs correlation data and the answer topic of its box as response topic")
        status = await self._directory.status(query.person_key)
        answer = QueryAnswer(LookupOutcome.NOT_FOUND) if status is None else QueryAnswer(LookupOutcome.FOUND, status)
        await publish_event(
            connection, topic, Event.of(answer, source_from(self._district, None)), correlation=correlation
        )


def platform_event(district: str, state: PlatformState) -> Event:
    """Birth or will of the platform of `district`."""
    return Event.of(state, source_from(district, None))
