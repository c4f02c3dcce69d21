"""The box that a session speaks for: its name, its stores and what it listens to."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sync.contract.channels import CHANNEL_RULES
from sync.contract.envelope import AnyMessage, Event
from sync.contract.messages import DirectoryHealth, HealthReport, OutboxHealth
from sync.contract.topics import DISTRICT_CHANNELS, Channel, Topic, every_command, source_from
from sync.edge.directory.directory import NEVER_S, Directory
from sync.edge.ledger.ledger import Ledger
from sync.edge.orders.receiver import OrderReceiver
from sync.mqtt.packets import Subscription

_HEARD = (Channel.ACK, Channel.ANSWER, Channel.DIRECTORY, Channel.PLATFORM, Channel.STATE)
_ORDERS = (Channel.REVOCATION, Channel.DESIRED, Channel.BROADCAST)  # and the commands, whose topics end in their names
_BOTH_WAYS = (Channel.DIRECTORY, Channel.STATE)  # we speak and hear there, but do not hear ourselves


@dataclass(frozen=True, slots=True)
class BoxContext:
    """What a session serves: the box's name, its stores, and how its parts are."""

    district: str
    box: str
    ledger: Ledger
    directory: Directory
    orders: OrderReceiver | None  # None: no key to check signatures with, so the signed channels are not listened to
    parts: Callable[[], Mapping[str, str]]
    certificate_days: Callable[[], float | None]  # left of our certificate
    started_s: float  # monotonic

    def topic(self, channel: Channel) -> Topic:
        """`channel` of this box or of its district."""
        return Topic(self.district, channel, None if channel in DISTRICT_CHANNELS else self.box)

    def subscriptions(self) -> list[Subscription]:
        """What this box listens to."""
        orders = _ORDERS if self.orders is not None else ()
        heard = [
            Subscription(str(self.topic(channel)), CHANNEL_RULES[channel].qos, no_local=channel in _BOTH_WAYS)
            for channel in (*orders, *_HEARD)
        ]
        if orders:
            heard.append(Subscription(every_command(self.district, self.box), CHANNEL_RULES[Channel.COMMAND].qos))
        return heard

    def event(self, message: AnyMessage) -> Event:
        return Event.of(message, source_from(self.district, self.box))

    async def health(self) -> HealthReport:
        """How the box is now."""
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
        )
