"""The rules of each lane in one table: who speaks, how surely, how long it stays true, which messages it carries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sync.contract.messages import (
    Ack,
    Answer,
    Backlog,
    BoxState,
    DirectoryPage,
    DirectoryRequest,
    HealthReport,
    Message,
    PlatformState,
    Query,
)
from sync.contract.orders import CommandDone, Reported
from sync.contract.records import AlarmRaised, BroadcastPlayed, Deleted, Gap, PassageClosed, PassageDecided, Record
from sync.contract.signed import Signed
from sync.contract.topics import Lane

SpokenMessage = Message | Record | Signed | Reported | CommandDone


class Direction(StrEnum):
    """Who publishes on a lane."""

    UP = "up"  # the box
    DOWN = "down"  # the platform
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class LaneRule:
    """How one lane is published; `expiry_s` None means that it stays true until replaced or acknowledged."""

    direction: Direction
    qos: int
    messages: tuple[type[SpokenMessage], ...]
    retained: bool = False
    expiry_s: int | None = None


LANES: dict[Lane, LaneRule] = {
    Lane.STATE: LaneRule(Direction.UP, 1, (BoxState,), retained=True),
    Lane.ALARM: LaneRule(Direction.UP, 1, (AlarmRaised,)),
    Lane.PASSAGE: LaneRule(Direction.UP, 1, (PassageDecided, PassageClosed, BroadcastPlayed, Gap, Deleted)),
    Lane.BACKLOG: LaneRule(Direction.UP, 1, (Backlog,)),
    Lane.HEALTH: LaneRule(Direction.UP, 0, (HealthReport,), expiry_s=60),
    Lane.ACK: LaneRule(Direction.DOWN, 1, (Ack,)),
    Lane.QUERY: LaneRule(Direction.UP, 0, (Query,), expiry_s=2),
    Lane.ANSWER: LaneRule(Direction.DOWN, 0, (Answer,), expiry_s=2),
    # A page that waited at the broker must not pass for a fresh confirmation (FRESH is 60 s).
    Lane.DIRECTORY: LaneRule(Direction.BOTH, 1, (DirectoryRequest, DirectoryPage), expiry_s=30),
    Lane.DESIRED: LaneRule(Direction.DOWN, 1, (Signed,), retained=True),
    Lane.REPORTED: LaneRule(Direction.UP, 1, (Reported, CommandDone)),
    Lane.COMMAND: LaneRule(Direction.DOWN, 1, (Signed,), expiry_s=30),
    Lane.REVOCATION: LaneRule(Direction.DOWN, 1, (Signed,)),
    Lane.BROADCAST: LaneRule(Direction.DOWN, 1, (Signed,)),
    Lane.PLATFORM: LaneRule(Direction.DOWN, 1, (PlatformState,), retained=True),
}

MESSAGE_TYPES: dict[str, type[SpokenMessage]] = {kind.TYPE: kind for rule in LANES.values() for kind in rule.messages}
