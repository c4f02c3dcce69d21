"""Orders of the platform, each signed (see `contract.signed`), and the answers of a box."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from sync.contract.health import Instant
from sync.contract.messages import DirectoryOp, Nonce, Version

REVOCATION_LIMIT = 100  # persons in one revocation

BroadcastId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}\Z")]


class Desired(msgspec.Struct, frozen=True):
    """Desired state of a box: an admission policy that applies from `effective` (None: at once), and some settings.

    `settings` maps a section to its keys; settings that are not listed keep the value of the local file.
    """

    TYPE: ClassVar[str] = "sentinel.desired"

    policy: dict[str, Any] | None = None
    effective: Instant | None = None
    settings: dict[str, dict[str, Any]] = {}


class Command(msgspec.Struct, frozen=True):
    """A command to run once, immediately; its name is in the topic."""

    TYPE: ClassVar[str] = "sentinel.command"

    arguments: dict[str, Any] = {}


class Revocation(msgspec.Struct, frozen=True):
    """Directory operations that apply before their page is sent; the page repeats them."""

    TYPE: ClassVar[str] = "sentinel.revocation"

    generation: str
    ops: Annotated[tuple[DirectoryOp, ...], Meta(min_length=1, max_length=REVOCATION_LIMIT)]


class Audio(msgspec.Struct, frozen=True):
    """Sound to download; the content must have this length and SHA-256."""

    url: Annotated[str, Meta(max_length=500)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    bytes: Annotated[int, Meta(ge=1, le=10_000_000)]


class Priority(StrEnum):
    """Whether a broadcast interrupts others."""

    NORMAL = "normal"
    EMERGENCY = "emergency"


class Broadcast(msgspec.Struct, frozen=True, kw_only=True):
    """An announcement for all people at the gate.

    `texts` by language; `audio` is played instead of synthesized speech. `schedule` is a cron line of five fields in
    the local time of the box; without a schedule it is played once, as soon as it is valid.
    """

    TYPE: ClassVar[str] = "sentinel.broadcast"

    broadcast_id: BroadcastId
    texts: Annotated[dict[str, str], Meta(max_length=8)]
    valid_from: Instant
    valid_until: Instant
    priority: Priority = Priority.NORMAL
    schedule: str | None = None
    audio: Audio | None = None


class Withdrawal(msgspec.Struct, frozen=True):
    """Cancels a broadcast."""

    TYPE: ClassVar[str] = "sentinel.broadcast.withdrawn"

    broadcast_id: BroadcastId


class Reported(msgspec.Struct, frozen=True):
    """Result of applying desired state `version`; `in_force` is the last accepted version (None: the local files).

    `restart_needed`: the settings apply after a restart. `box_time`, since 1.2: the clock of the box, if by it the
    order is early or expired (`reason`).
    """

    TYPE: ClassVar[str] = "sentinel.reported"

    version: Version
    accepted: bool
    reason: str = ""
    in_force: Version | None = None
    restart_needed: bool = False
    box_time: Instant | None = None


class CommandDone(msgspec.Struct, frozen=True):
    """Result of the command with this nonce; `box_time` as in Reported."""

    TYPE: ClassVar[str] = "sentinel.command.done"

    command: str
    nonce: Nonce
    done: bool
    reason: str = ""
    result: dict[str, Any] = {}
    box_time: Instant | None = None


class OrderOutOfTime(msgspec.Struct, frozen=True):
    """A revocation or a broadcast is early or expired (`reason`) by the clock of the box, which is `box_time`.

    `done`: it was carried out nevertheless. Since 1.2; older platforms ignore it.
    """

    TYPE: ClassVar[str] = "sentinel.order.out_of_time"

    kind: str
    nonce: Nonce
    reason: str
    box_time: Instant
    done: bool = False


OrderBody = Desired | Command | Revocation | Broadcast | Withdrawal
ORDER_TYPES: dict[str, type[OrderBody]] = {
    kind.TYPE: kind for kind in (Desired, Command, Revocation, Broadcast, Withdrawal)
}
