"""Takes the records of all boxes: committed first, acknowledged then."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime

from sync.connection import Connection
from sync.contract.envelope import Event
from sync.contract.lanes import LANES
from sync.contract.messages import Ack, Backlog, Refusal, to_ranges
from sync.contract.records import RecordId
from sync.contract.topics import Lane, Topic, every_box, shared, source_of
from sync.errors import BadMessage, PublishRefused
from sync.packets import Message, Subscription
from sync.platform.store import Arrival, RecordStore
from sync.post import box_of, event_in, post, topic_of

log = logging.getLogger(__name__)

LANES_TAKEN = (Lane.ALARM, Lane.PASSAGE, Lane.BACKLOG)
GROUP = "ingest"
_BATCH = 200  # messages in one transaction; up to 100 records each


class Ingest:
    """Serves one connection at a time, opened with `manual_ack`: a message leaves the broker after the commit.

    Several processes share the work by `$share/ingest`. `ready` is set while records are being taken.
    """

    def __init__(self, store: RecordStore, district: str) -> None:
        self.ready = asyncio.Event()
        self.refused = 0
        self._store = store
        self._district = district

    async def serve(self, connection: Connection) -> None:
        """Take records until the connection is lost (raises LinkLost)."""
        filters = (shared(GROUP, every_box(self._district, lane)) for lane in LANES_TAKEN)
        await connection.subscribe(*(Subscription(each, LANES[Lane.PASSAGE].qos) for each in filters))
        self.ready.set()
        try:
            while True:
                await self._take(connection, await connection.batch(_BATCH))
        finally:
            self.ready.clear()

    async def _take(self, connection: Connection, messages: list[Message]) -> None:
        arrivals: list[Arrival] = []
        refusals: dict[RecordId, str] = {}
        for message in messages:
            try:
                for name, read in _records(message):
                    if isinstance(read, BadMessage):
                        refusals[name] = str(read)
                    else:
                        arrivals.append(read)
            except BadMessage as exc:
                self.refused += 1
                log.warning("%s: dropped: %s", message.topic, exc)
        await self._store.insert(arrivals)
        for box, ack in _acks([arrival.name for arrival in arrivals], refusals):
            await self._acknowledge(connection, box, ack)
        for message in messages:
            connection.ack(message)
        self.refused += len(refusals)

    async def _acknowledge(self, connection: Connection, box: str, ack: Ack) -> None:
        event = Event.of(ack, source_of(self._district, None))
        try:
            await post(connection, Topic(self._district, Lane.ACK, box), event)
        except PublishRefused as exc:
            log.warning("acknowledgement to %s: %s", box, exc)  # the box will send again, and be told again


def _records(message: Message) -> Iterator[tuple[RecordId, Arrival | BadMessage]]:
    """The records in one message by name, those that are not valid as the reason why. Raises BadMessage."""
    topic, event, received = topic_of(message), event_in(message), datetime.now(UTC)
    box = box_of(topic)
    if topic.lane is Lane.BACKLOG:
        backlog = event.message(Backlog)
        for entry in backlog.records:
            name = RecordId(box, backlog.epoch, entry.seq)
            yield name, _read(name, entry.type, entry.time, received, bytes(entry.data))
    else:
        name = RecordId.parse(event.id)
        if name.box != box:
            raise BadMessage("a box speaks for itself alone")
        yield name, _read(name, event.kind, event.time, received, event.body)


def _read(name: RecordId, kind: str, time: datetime, received: datetime, body: bytes) -> Arrival | BadMessage:
    try:
        return Arrival.read(name, kind, time, received, body)
    except BadMessage as exc:
        return exc


def _acks(names: list[RecordId], refusals: dict[RecordId, str]) -> Iterator[tuple[str, Ack]]:
    """One acknowledgement for each box and epoch."""
    committed: dict[tuple[str, str], list[int]] = defaultdict(list)
    refused: dict[tuple[str, str], list[Refusal]] = defaultdict(list)
    for name in names:
        committed[name.box, name.epoch].append(name.seq)
    for name, reason in refusals.items():
        refused[name.box, name.epoch].append(Refusal(name.seq, reason))
    for box, epoch in committed.keys() | refused.keys():
        yield box, Ack(epoch, to_ranges(committed[box, epoch]), tuple(refused[box, epoch]))
