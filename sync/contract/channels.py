"""The rules of each channel in one table: direction, QoS, message types, retention and expiry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sync.contract.messages import (
    BACKLOG_LIMIT_BYTES,
    Ack,
    Backlog,
    BoxState,
    DirectoryPage,
    DirectoryRequest,
    HealthReport,
    Message,
    PlatformState,
    Query,
    QueryAnswer,
)
from sync.contract.orders import CommandDone, OrderOutOfTime, Reported
from sync.contract.records import (
    RECORD_LIMIT_BYTES,
    AlarmRaised,
    BroadcastPlayed,
    Deleted,
    Gap,
    PassageClosed,
    PassageDecided,
    Record,
)
from sync.contract.signed import Signed
from sync.contract.topics import Channel

SpokenMessage = Message | Record | Signed | Reported | CommandDone | OrderOutOfTime


class Direction(StrEnum):
    """Who publishes on a channel."""

    UP = "up"  # the box
    DOWN = "down"  # the platform
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class ChannelRule:
    """How messages of one channel are published; `expiry_s` None: they do not expire.

    `limit_bytes`: the largest body of a box on the wire; a platform drops a larger one. `packs`: the side that
    may deflate bodies; None: neither.
    """

    direction: Direction
    qos: int
    messages: tuple[type[SpokenMessage], ...]
    retained: bool = False
    expiry_s: int | None = None
    limit_bytes: int = 16_384
    packs: Direction | None = None


CHANNEL_RULES: dict[Channel, ChannelRule] = {
    Channel.STATE: ChannelRule(Direction.UP, 1, (BoxState,), retained=True),
    Channel.ALARM: ChannelRule(Direction.UP, 1, (AlarmRaised,), limit_bytes=RECORD_LIMIT_BYTES),
    Channel.PASSAGE: ChannelRule(
        Direction.UP,
        1,
        (PassageDecided, PassageClosed, BroadcastPlayed, Gap, Deleted),
        limit_bytes=RECORD_LIMIT_BYTES,
    ),
    Channel.BACKLOG: ChannelRule(Direction.UP, 1, (Backlog,), limit_bytes=BACKLOG_LIMIT_BYTES),
    Channel.HEALTH: ChannelRule(Direction.UP, 0, (HealthReport,), expiry_s=60),
    Channel.ACK: ChannelRule(Direction.DOWN, 1, (Ack,)),
    Channel.QUERY: ChannelRule(Direction.UP, 0, (Query,), expiry_s=2),
    Channel.ANSWER: ChannelRule(Direction.DOWN, 0, (QueryAnswer,), expiry_s=2),
    # A page that was queued at the broker must not count as a recent confirmation (FRESH is 60 s).
    Channel.DIRECTORY: ChannelRule(
        Direction.BOTH, 1, (DirectoryRequest, DirectoryPage), expiry_s=30, packs=Direction.DOWN
    ),
    Channel.DESIRED: ChannelRule(Direction.DOWN, 1, (Signed,), retained=True),
    Channel.REPORTED: ChannelRule(Direction.UP, 1, (Reported, CommandDone, OrderOutOfTime), limit_bytes=65_536),
    Channel.COMMAND: ChannelRule(Direction.DOWN, 1, (Signed,), expiry_s=30),
    Channel.REVOCATION: ChannelRule(Direction.DOWN, 1, (Signed,)),
    Channel.BROADCAST: ChannelRule(Direction.DOWN, 1, (Signed,)),
    Channel.PLATFORM: ChannelRule(Direction.DOWN, 1, (PlatformState,), retained=True),
}

MESSAGE_TYPES: dict[str, type[SpokenMessage]] = {
    kind.TYPE: kind for rule in CHANNEL_RULES.values() for kind in rule.messages
}
