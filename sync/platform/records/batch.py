"""Messages of one transaction: their records, and the acknowledgements for their boxes."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from sync.contract.channels import Direction
from sync.contract.messages import Ack, Backlog, Refusal
from sync.contract.records import RecordId
from sync.contract.topics import Channel, Topic
from sync.errors import BadMessage
from sync.mqtt.budgets import BoxBudgets, Budget, Rate
from sync.mqtt.events import box_from, decode_event, topic_from
from sync.mqtt.packets import Message
from sync.platform.records.forks import runs
from sync.platform.records.received import AbsentRange, ReceivedRecord

UNLIMITED = Budget(Rate(1e9, 1e9), Rate(1e12, 1e12))
log = logging.getLogger(__name__)


class Batch:
    """A message that names no record is logged and dropped; it cannot be acknowledged as refused.

    A message beyond the budget of its box is not read, and its records are not acknowledged. `backlog_budget` gives the
    budget of a box for its backlog.
    """

    def __init__(
        self,
        messages: list[Message],
        budgets: BoxBudgets | None = None,
        backlog_budget: Callable[[str], Budget] | None = None,
    ) -> None:
        self.messages = messages
        self.records: list[ReceivedRecord] = []
        self.refusals: dict[RecordId, str] = {}
        self._budgets = budgets or BoxBudgets()
        self._backlog_budget = backlog_budget or (lambda _: UNLIMITED)
        for message in messages:
            try:
                self._read_within_budget(message)
            except BadMessage as exc:
                if self._budgets.may_log(message.topic):
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

    def _read_within_budget(self, message: Message) -> None:
        topic = topic_from(message)
        box = box_from(topic)
        budget = self._backlog_budget(box) if topic.channel is Channel.BACKLOG else None
        if self._budgets.allows(topic.channel, box, len(message.body), budget):
            self._read(message, topic, box)

    def _read(self, message: Message, topic: Topic, box: str) -> None:
        event, received = decode_event(message, Direction.UP), datetime.now(UTC)
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
        if not self._budgets.allows_epoch(name.box, name.epoch):
            return
        try:
            record = ReceivedRecord.read(name, kind, time, received, body, bytes.fromhex(chain) if chain else None)
        except BadMessage as exc:
            self.refusals[name] = str(exc)
        else:
            self.records.append(record)
