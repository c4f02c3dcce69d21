"""Receives the records of all boxes; acknowledges them after the commit."""

from __future__ import annotations

import asyncio
import logging
import time

from sync.contract.channels import CHANNEL_RULES
from sync.contract.envelope import Event
from sync.contract.messages import BACKLOG_LIMIT_BYTES, Ack
from sync.contract.topics import Channel, Topic, every_box, shared, source_from
from sync.errors import PublishRefused
from sync.mqtt.budgets import BoxBudgets, Budget, Rate
from sync.mqtt.connection import Connection
from sync.mqtt.events import publish_event
from sync.mqtt.packets import Subscription
from sync.platform.records.batch import UNLIMITED, Batch
from sync.platform.records.fair_rate import FairShareLimiter
from sync.platform.records.store_contract import RecordStore

log = logging.getLogger(__name__)

LIVE = (Channel.ALARM, Channel.PASSAGE)
BACKLOG = (Channel.BACKLOG,)
_LEAST_PER_S, _BURST_S = 50.0, 10.0  # of the backlog of a box
_RECORD_BYTES = 4096
_BATCHES_AHEAD = 2  # one batch is read while another is committed or acknowledged


class Ingest:
    """Serves one connection at a time, opened with `manual_ack`: the broker removes a message after the commit.

    The processes of one store share the work by a shared subscription, whose group no box knows: the broker would give
    a box in the group its share of the records, and drop it. Live records and backlog use separate connections, so that
    the broker holds back the backlog and a passage never waits behind it. `ready` is set while records are accepted.
    """

    def __init__(
        self,
        store: RecordStore,
        district: str,
        channels: tuple[Channel, ...],
        batch: int,
        limiter: FairShareLimiter | None = None,
    ) -> None:
        self.ready = asyncio.Event()
        self._store = store
        self._district = district
        self._channels = channels
        self._batch = batch  # messages in one transaction; up to 100 records each
        self._limiter = limiter
        self._budgets = BoxBudgets()

    async def serve(self, connection: Connection) -> None:
        """Receive records until the connection is lost (raises LinkLost)."""
        group_name = await self._store.ingest_group()
        filters = (shared(group_name, every_box(self._district, channel)) for channel in self._channels)
        await connection.subscribe(*(Subscription(each, CHANNEL_RULES[self._channels[0]].qos) for each in filters))
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
            await read.put(Batch(await connection.batch(self._batch), self._budgets, self._backlog_budget))

    async def _commit(self, read: asyncio.Queue[Batch], committed: asyncio.Queue[Batch]) -> None:
        while True:
            batch = await read.get()
            if batch.records or batch.refusals:
                await self._store.insert(batch.records, batch.absences())
            await committed.put(batch)
            if self._limiter is not None:
                await self._limiter.throttle(len(batch.records))

    async def _acknowledge(self, connection: Connection, committed: asyncio.Queue[Batch]) -> None:
        while True:
            batch = await committed.get()
            async with asyncio.TaskGroup() as group:  # the connection's window limits how many are sent at once
                for box, ack in batch.acks(self._share):
                    group.create_task(self._send_ack(connection, box, ack), name="ingest: ack")
            for message in batch.messages:
                connection.ack(message)

    def _backlog_budget(self, box: str) -> Budget:
        """Twice the share of `box` in records, which it may send one at a time, and not less than a minimum."""
        if self._limiter is None:
            return UNLIMITED
        records_per_s = max(_LEAST_PER_S, 2 * self._limiter.share_for(box, time.monotonic()))
        return Budget(
            Rate(records_per_s, _BURST_S * records_per_s),
            Rate(records_per_s * _RECORD_BYTES, max(4 * BACKLOG_LIMIT_BYTES, _BURST_S * records_per_s * _RECORD_BYTES)),
        )

    def _share(self, box: str) -> float | None:
        return self._limiter.share_for(box, time.monotonic()) if self._limiter else None

    async def _send_ack(self, connection: Connection, box: str, ack: Ack) -> None:
        event = Event.of(ack, source_from(self._district, None))
        try:
            await publish_event(connection, Topic(self._district, Channel.ACK, box), event)
        except PublishRefused as exc:
            log.warning("acknowledgement to %s: %s", box, exc)  # the box sends the records again
