"""The box of a session: its name, its stores and its subscriptions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sync.contract.channels import CHANNEL_RULES
from sync.contract.envelope import AnyMessage, Event
from sync.contract.messages import DirectoryHealth, HealthReport, OutboxHealth
from sync.contract.topics import DISTRICT_CHANNELS, Channel, Topic, every_command, source_from
from sync.edge.directory.directory import NEVER_S, Directory
from sync.edge.ledger.ledger import Ledger
from sync.edge.orders.receiver import OrderReceiver
from sync.mqtt.packets import Subscription

_UNSIGNED = (Channel.ACK, Channel.ANSWER, Channel.DIRECTORY, Channel.PLATFORM, Channel.STATE)
_SIGNED = (Channel.REVOCATION, Channel.DESIRED, Channel.BROADCAST)  # and the commands, whose topics end in their names
_NO_LOCAL = (Channel.DIRECTORY, Channel.STATE)  # the box publishes here too, and must not receive its own messages


@dataclass(frozen=True, slots=True)
class BoxContext:
    """What a session needs of the box: name, stores, and the state of its parts."""

    district: str
    box: str
    ledger: Ledger
    directory: Directory
    orders: OrderReceiver | None  # None: no key for verifying signatures, so signed channels are not subscribed
    parts: Callable[[], Mapping[str, str]]
    certificate_days: Callable[[], float | None]  # until our certificate expires
    started_s: float  # monotonic
    on_platform_time: Callable[[datetime], None]  # called with the time of a directory page that was received now

    def topic(self, channel: Channel) -> Topic:
        """The topic of `channel` for this box or its district."""
        return Topic(self.district, channel, None if channel in DISTRICT_CHANNELS else self.box)

    def subscriptions(self) -> list[Subscription]:
        """The subscriptions of this box."""
        signed = _SIGNED if self.orders is not None else ()
        subscriptions = [
            Subscription(str(self.topic(channel)), CHANNEL_RULES[channel].qos, no_local=channel in _NO_LOCAL)
            for channel in (*signed, *_UNSIGNED)
        ]
        if signed:
            subscriptions.append(
                Subscription(every_command(self.district, self.box), CHANNEL_RULES[Channel.COMMAND].qos)
            )
        return subscriptions

    def event(self, message: AnyMessage) -> Event:
        return Event.of(message, source_from(self.district, self.box))

    async def health(self) -> HealthReport:
        """The current health report."""
        ledger = await self.ledger.status()
        freshness, age_s = self.directory.freshness()
        return HealthReport(
            uptime_s=time.monotonic() - self.started_s,
            outbox=OutboxHealth(
                ledger.last_seq, ledger.unacknowledged, ledger.parked, ledger.oldest_age_s, ledger.used_bytes
            ),
            directory=DirectoryHealth(freshness, age_s if age_s < NEVER_S else None, self.directory.cursor),
            parts={**self.parts(), "disk": "full" if ledger.disk_full else "ok"},
            certificate_days=self.certificate_days(),
            epochs=await self.ledger.ends(),
        )
