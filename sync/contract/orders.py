"""What the platform may order, each under a signature (see `contract.signed`), and what a box says to it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from sync.contract.health import Instant
from sync.contract.messages import DirectoryOp, Nonce, Version

REVOCATION_LIMIT = 100  # persons in one revocation

BroadcastId = Annotated[str, Meta(pattern="^[A-Za-z0-9-]{1,64}$")]


class Desired(msgspec.Struct, frozen=True):
    """How a box should be: an admission policy that applies from `effective` (None: at once), and some settings.

    `settings` maps a section to its keys; what is left out stays as the box's own file says.
    """

    TYPE: ClassVar[str] = "sentinel.desired"

    policy: dict[str, Any] | None = None
    effective: Instant | None = None
    settings: dict[str, dict[str, Any]] = {}


class Command(msgspec.Struct, frozen=True):
    """Something to be done now, once; its name is in the topic."""

    TYPE: ClassVar[str] = "sentinel.command"

    arguments: dict[str, Any] = {}


class Revocation(msgspec.Struct, frozen=True):
    """Operations of the directory that must not wait for their page; the page repeats them."""

    TYPE: ClassVar[str] = "sentinel.revocation"

    generation: str
    ops: Annotated[tuple[DirectoryOp, ...], Meta(min_length=1, max_length=REVOCATION_LIMIT)]


class Audio(msgspec.Struct, frozen=True):
    """Sound to fetch; what comes must have this length and sum."""

    url: Annotated[str, Meta(max_length=500)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, Meta(ge=1, le=10_000_000)]


class Priority(StrEnum):
    """How much a broadcast interrupts."""

    NORMAL = "normal"
    EMERGENCY = "emergency"


class Broadcast(msgspec.Struct, frozen=True, kw_only=True):
    """Something to tell everybody while it is valid.

    `texts` by language; `audio` is played in the place of a spoken text. `schedule` is a cron line of five fields in
    the box's own time; without one it is told once, as soon as it is valid.
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
    """A broadcast that is not to be told any more."""

    TYPE: ClassVar[str] = "sentinel.broadcast.withdrawn"

    broadcast_id: BroadcastId


class Reported(msgspec.Struct, frozen=True):
    """What became of the desired state `version`; `in_force` is the last one accepted (None: the box's own files).

    `restart_needed`: its settings apply from the next start.
    """

    TYPE: ClassVar[str] = "sentinel.reported"

    version: Version
    accepted: bool
    reason: str = ""
    in_force: Version | None = None
    restart_needed: bool = False


class CommandDone(msgspec.Struct, frozen=True):
    """How the command with this nonce went."""

    TYPE: ClassVar[str] = "sentinel.command.done"

    command: str
    nonce: Nonce
    done: bool
    reason: str = ""
    result: dict[str, Any] = {}


OrderBody = Desired | Command | Revocation | Broadcast | Withdrawal
ORDER_TYPES: dict[str, type[OrderBody]] = {
    kind.TYPE: kind for kind in (Desired, Command, Revocation, Broadcast, Withdrawal)
}
