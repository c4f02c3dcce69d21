"""The platform's side of the talk that is not records: states, health, queries, directory requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from datetime import UTC, datetime

from sync.contract.channels import CHANNEL_RULES
from sync.contract.envelope import Event
from sync.contract.health import LookupOutcome
from sync.contract.messages import (
    BoxState,
    DirectoryPage,
    DirectoryRequest,
    HealthReport,
    PlatformState,
    Query,
    QueryAnswer,
)
from sync.contract.topics import Channel, Topic, every_box, source_from
from sync.errors import BadMessage, LinkError
from sync.mqtt.connection import Connection
from sync.mqtt.events import box_from, decode_event, publish_event, topic_from
from sync.mqtt.packets import Message, Subscription
from sync.platform.directory.publisher import DirectoryPublisher
from sync.platform.directory.store import DirectoryStore
from sync.platform.fleet.fleet import Fleet

log = logging.getLogger(__name__)

_LANES = (Channel.STATE, Channel.HEALTH, Channel.QUERY, Channel.DIRECTORY)
_FAREWELL_S = 1.0
_LOOK_S = 1.0
_LARGER = 1.1
_COMEBACKS_PER_S = 16.0  # of a fleet that lost its broker: the first tries of 948 boxes take a minute


class BoxRequestHandler:
    """Serves one connection at a time. Says that the platform is online once `ready` is set: records are taken."""

    def __init__(
        self,
        fleet: Fleet,
        source: DirectoryStore,
        publisher: DirectoryPublisher,
        district: str,
        ready: asyncio.Event,
        backlog_per_s: float | None = None,
    ) -> None:
        self.refused = 0
        self._fleet = fleet
        self._source = source
        self._publisher = publisher
        self._district = district
        self._ready = ready
        self._backlog_per_s = backlog_per_s
        self._boot_id = secrets.token_hex(8)

    async def serve(self, connection: Connection) -> None:
        """Talk until the connection is lost (raises LinkLost) or this is cancelled (then the farewell is said)."""
        # Own pages come back on the directory lane unless `no_local` says otherwise.
        await connection.subscribe(
            *(
                Subscription(
                    every_box(self._district, lane), CHANNEL_RULES[lane].qos, no_local=lane is Channel.DIRECTORY
                )
                for lane in _LANES
            )
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hear(connection), name="desk: hear")
                group.create_task(self._publisher.run(connection), name="desk: directory")
                await self._ready.wait()
                await self._say_online(connection)
        finally:
            with contextlib.suppress(LinkError, TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._say(connection, online=False)

    async def _say(self, connection: Connection, *, online: bool) -> None:
        state = PlatformState(online=False)
        if online:
            boxes = max(1, self._fleet.online())
            share = self._backlog_per_s / boxes if self._backlog_per_s else None
            spread_s = max(1.0, boxes / _COMEBACKS_PER_S)
            state = PlatformState(True, share, spread_s, self._boot_id)
        await publish_event(connection, Topic(self._district, Channel.PLATFORM), platform_event(self._district, state))

    async def _say_online(self, connection: Connection) -> None:
        """Say it now, and again whenever the fleet turns out to be larger: its share and spread follow."""
        while True:
            boxes = self._fleet.online()
            await self._say(connection, online=True)
            while self._fleet.online() <= _LARGER * max(1, boxes):
                await asyncio.sleep(_LOOK_S)

    async def _hear(self, connection: Connection) -> None:
        async for message in connection.messages():
            try:
                await self._handle(connection, message)
            except BadMessage as exc:
                self.refused += 1
                log.warning("%s: dropped: %s", message.topic, exc)

    async def _handle(self, connection: Connection, message: Message) -> None:
        topic, event = topic_from(message), decode_event(message)
        box = box_from(topic)
        now = datetime.now(UTC)
        seen = min(event.time, now) if message.retained else now
        match topic.channel:
            case Channel.STATE:
                state = event.message(BoxState)
                self._fleet.state(box, state, seen)
                if not state.online:
                    self._publisher.gone(box)
            case Channel.HEALTH:
                self._fleet.health(box, event.message(HealthReport), seen)
            case Channel.QUERY:
                await self._answer(connection, box, event.message(Query), message)
            case Channel.DIRECTORY:
                heard = event.message(DirectoryRequest, DirectoryPage)
                if isinstance(heard, DirectoryRequest):
                    self._publisher.asked(box, heard)

    async def _answer(self, connection: Connection, box: str, query: Query, asked: Message) -> None:
        """Answer on the box's own answer lane and nowhere else, whatever the question asks for."""
        topic = Topic(self._district, Channel.ANSWER, box)
        correlation = asked.properties.correlation
        if correlation is None or asked.properties.response_topic != str(topic):
            raise BadMessage("a query needs correlation data and its own box's answer lane as response topic")
        status = await self._source.status(query.person_key)
        answer = QueryAnswer(LookupOutcome.NOT_FOUND) if status is None else QueryAnswer(LookupOutcome.FOUND, status)
        await publish_event(
            connection, topic, Event.of(answer, source_from(self._district, None)), correlation=correlation
        )


def platform_event(district: str, state: PlatformState) -> Event:
    """Birth or will of the platform of `district`."""
    return Event.of(state, source_from(district, None))
