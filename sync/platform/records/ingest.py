"""Takes the records of all boxes: committed first, acknowledged then."""

from __future__ import annotations

import asyncio
import logging
import time

from sync.contract.channels import CHANNEL_RULES
from sync.contract.envelope import Event
from sync.contract.messages import Ack
from sync.contract.topics import Channel, Topic, every_box, shared, source_from
from sync.errors import PublishRefused
from sync.mqtt.connection import Connection
from sync.mqtt.events import publish_event
from sync.mqtt.packets import Subscription
from sync.platform.records.batch import Batch
from sync.platform.records.fair_rate import FairShareLimiter
from sync.platform.records.store_contract import RecordStore

log = logging.getLogger(__name__)

LIVE = (Channel.ALARM, Channel.PASSAGE)
BACKLOG = (Channel.BACKLOG,)
GROUP = "ingest"
_BATCHES_AHEAD = 2  # read while the one before is committed; committed while acknowledgements are on the way


class Ingest:
    """Serves one connection at a time, opened with `manual_ack`: a message leaves the broker after the commit.

    Several processes share the work by `$share/ingest`. Live records and backlog come over a connection each, so that
    the broker holds the backlog back and a passage never waits behind it. `ready` is set while records are taken.
    """

    def __init__(
        self,
        store: RecordStore,
        district: str,
        lanes: tuple[Channel, ...],
        batch: int,
        pace: FairShareLimiter | None = None,
    ) -> None:
        self.ready = asyncio.Event()
        self.refused = 0
        self._store = store
        self._district = district
        self._lanes = lanes
        self._batch = batch  # messages in one transaction; up to 100 records each
        self._pace = pace

    async def serve(self, connection: Connection) -> None:
        """Take records until the connection is lost (raises LinkLost)."""
        filters = (shared(GROUP, every_box(self._district, lane)) for lane in self._lanes)
        await connection.subscribe(*(Subscription(each, CHANNEL_RULES[self._lanes[0]].qos) for each in filters))
        read: asyncio.Queue[Batch] = asyncio.Queue(_BATCHES_AHEAD)
        committed: asyncio.Queue[Batch] = asyncio.Queue(_BATCHES_AHEAD)
        self.ready.set()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(connection, read), name="ingest: read")
                group.create_task(self._commit(read, committed), name="ingest: commit")
                group.create_task(self._acknowledge(connection, committed), name="ingest: acknowledge")
        finally:
            self.ready.clear()

    async def _read(self, connection: Connection, read: asyncio.Queue[Batch]) -> None:
        while True:
            await read.put(Batch(await connection.batch(self._batch)))

    async def _commit(self, read: asyncio.Queue[Batch], committed: asyncio.Queue[Batch]) -> None:
        while True:
            batch = await read.get()
            self.refused += batch.unreadable + len(batch.refusals)
            await self._store.insert(batch.arrivals, batch.absences())
            await committed.put(batch)
            if self._pace is not None:
                await self._pace.spend(len(batch.arrivals))

    async def _acknowledge(self, connection: Connection, committed: asyncio.Queue[Batch]) -> None:
        while True:
            batch = await committed.get()
            async with asyncio.TaskGroup() as group:  # the connection's window bounds how many go at once
                for box, ack in batch.acks(self._share):
                    group.create_task(self._tell(connection, box, ack), name="ingest: tell")
            for message in batch.messages:
                connection.ack(message)

    def _share(self, box: str) -> float | None:
        return self._pace.share_of(box, time.monotonic()) if self._pace else None

    async def _tell(self, connection: Connection, box: str, ack: Ack) -> None:
        event = Event.of(ack, source_from(self._district, None))
        try:
            await publish_event(connection, Topic(self._district, Channel.ACK, box), event)
        except PublishRefused as exc:
            log.warning("acknowledgement to %s: %s", box, exc)  # the box will send again, and be told again
