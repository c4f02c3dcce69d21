"""Messages of one transaction: their records, and the acknowledgements for their boxes."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from sync.contract.messages import Ack, Backlog, Refusal
from sync.contract.records import RecordId
from sync.contract.topics import Channel
from sync.errors import BadMessage
from sync.mqtt.events import box_from, decode_event, topic_from
from sync.mqtt.packets import Message
from sync.platform.records.forks import runs
from sync.platform.records.received import AbsentRange, ReceivedRecord

log = logging.getLogger(__name__)


class Batch:
    """A message that names no record is logged and dropped; it cannot be acknowledged as refused."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.records: list[ReceivedRecord] = []
        self.refusals: dict[RecordId, str] = {}
        for message in messages:
            try:
                self._read(message)
            except BadMessage as exc:
                log.warning("%s: dropped: %s", message.topic, exc)

    def absences(self) -> list[AbsentRange]:
        """The refused records as absent numbers."""
        return [
            AbsentRange(name.box, name.epoch, name.seq, name.seq, 1, f"refused: {reason!a}"[:500])
            for name, reason in self.refusals.items()
        ]

    def acks(self, rate_for: Callable[[str], float | None]) -> Iterator[tuple[str, Ack]]:
        """One acknowledgement per box and epoch; `rate_for` gives the backlog rate of a box in records per second."""
        committed: dict[tuple[str, str], list[ReceivedRecord]] = defaultdict(list)
        refused: dict[tuple[str, str], list[Refusal]] = defaultdict(list)
        for record in self.records:
            committed[record.name.box, record.name.epoch].append(record)
        for name, reason in self.refusals.items():
            refused[name.box, name.epoch].append(Refusal(name.seq, reason))
        for box, epoch in dict.fromkeys((*committed, *refused)):
            found = runs(committed[box, epoch])
            yield (
                box,
                Ack(
                    epoch,
                    ranges=tuple((run.first, run.last) for run in found),
                    refused=tuple(refused[box, epoch]),
                    backlog_per_s=rate_for(box),
                    heads=tuple(run.head for run in found),
                ),
            )

    def _read(self, message: Message) -> None:
        topic, event, received = topic_from(message), decode_event(message), datetime.now(UTC)
        box = box_from(topic)
        if topic.channel is Channel.BACKLOG:
            backlog = event.message(Backlog)
            for entry in backlog.records:
                name = RecordId(box, backlog.epoch, entry.seq)
                self._add(name, entry.type, entry.time, received, bytes(entry.data), entry.chain)
        else:
            name = RecordId.parse(event.id)
            if name.box != box:
                raise BadMessage("the record id names another box")
            self._add(name, event.kind, event.time, received, event.body, event.chain)

    def _add(
        self, name: RecordId, kind: str, time: datetime, received: datetime, body: bytes, chain: str | None
    ) -> None:
        try:
            record = ReceivedRecord.read(name, kind, time, received, body, bytes.fromhex(chain) if chain else None)
        except BadMessage as exc:
            self.refusals[name] = str(exc)
        else:
            self.records.append(record)
