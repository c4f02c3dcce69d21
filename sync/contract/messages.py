"""Messages of the wire other than ledger records: frozen, checked when decoded. Their TYPE is the CloudEvents type."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from sync.contract.health import Freshness, HealthStatus, Instant, LookupOutcome
from sync.contract.records import EPOCH_PATTERN, LARGEST, Record, decode_record, encode_record

BACKLOG_LIMIT = 100  # records in one backlog message
PAGE_LIMIT = 500  # operations in one directory page

Epoch = Annotated[str, Meta(pattern=f"^{EPOCH_PATTERN}$")]
Seq = Annotated[int, Meta(ge=1, le=LARGEST)]
Op = Annotated[int, Meta(ge=0, le=LARGEST)]
PersonKey = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Checksum = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
ChainHash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Pace = Annotated[float, Meta(gt=0)]
Nonce = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Version = Annotated[int, Meta(ge=1, le=LARGEST)]


class Refusal(msgspec.Struct, frozen=True):
    """One record the platform will never take, and why."""

    seq: Seq
    reason: str


class Ack(msgspec.Struct, frozen=True):
    """Committed at the platform: inclusive ranges of sequence numbers of one epoch.

    `backlog_per_s` is the pace from now on, in records of backlog a second; None leaves it as it is. `missing` are
    numbers the platform does not have though later ones came: the box owes them again, acknowledged before or not.
    `heads` are the hashes of the last records of `ranges`, as far as these had any: with a copied card two boxes write
    under one name, and what was committed is only the record that has this hash. Platforms before 0.3 say none.
    """

    TYPE: ClassVar[str] = "sentinel.ack"

    epoch: Epoch
    ranges: tuple[tuple[Seq, Seq], ...]
    refused: tuple[Refusal, ...] = ()
    backlog_per_s: Pace | None = None
    missing: tuple[tuple[Seq, Seq], ...] = ()
    heads: tuple[ChainHash | None, ...] = ()


class BacklogEntry(msgspec.Struct, frozen=True):
    """One record inside a backlog message; `data` is its JSON as the ledger holds it: a bad one spoils no other.

    `chain` is its hash (see `contract.chain`); boxes before 0.2 send none.
    """

    seq: Seq
    type: str
    time: Instant
    data: msgspec.Raw
    chain: ChainHash | None = None

    @classmethod
    def of(cls, seq: int, time: datetime, record: Record, chain: str | None = None) -> BacklogEntry:
        return cls(seq, record.TYPE, time, msgspec.Raw(encode_record(record)), chain)

    def record(self) -> Record:
        """The record itself; raises BadMessage."""
        return decode_record(self.type, bytes(self.data))


class Backlog(msgspec.Struct, frozen=True):
    """Up to 100 records of one epoch that waited: historical by nature."""

    TYPE: ClassVar[str] = "sentinel.backlog"

    epoch: Epoch
    records: Annotated[tuple[BacklogEntry, ...], Meta(min_length=1, max_length=BACKLOG_LIMIT)]


class BoxState(msgspec.Struct, frozen=True):
    """Birth (`online`) and will (not `online`) of one box."""

    TYPE: ClassVar[str] = "sentinel.state"

    online: bool
    epoch: Epoch
    boot_id: str
    versions: dict[str, str]


class PlatformState(msgspec.Struct, frozen=True):
    """Whether the platform commits records now; the broker alone being up is not enough.

    `backlog_per_s` is the pace at which each box begins, in records of backlog a second; None sets no limit.
    `reconnect_spread_s`: over how long boxes spread their first try after a loss, because all lose it together.
    `boot_id` names the process: another one may have lost what the one before had not committed.
    """

    TYPE: ClassVar[str] = "sentinel.platform"

    online: bool
    backlog_per_s: Pace | None = None
    reconnect_spread_s: Pace | None = None
    boot_id: str | None = None


class OutboxHealth(msgspec.Struct, frozen=True):
    """State of the ledger's unacknowledged tail."""

    last_seq: int
    unacknowledged: int
    parked: int
    oldest_age_s: float
    used_bytes: int


class DirectoryHealth(msgspec.Struct, frozen=True):
    """How old the box's replica is."""

    freshness: Freshness
    age_s: float | None  # None: never confirmed
    cursor: Op


class HealthReport(msgspec.Struct, frozen=True):
    """How one box is, every 30 s; `parts` maps a part to its state.

    `certificate_days` are left of the box's certificate, negative when it has expired; None where it has none.
    """

    TYPE: ClassVar[str] = "sentinel.health"

    uptime_s: float
    outbox: OutboxHealth
    directory: DirectoryHealth
    parts: dict[str, str]
    certificate_days: float | None = None


class Query(msgspec.Struct, frozen=True):
    """Question for one person who is not in the replica."""

    TYPE: ClassVar[str] = "sentinel.query"

    person_key: PersonKey

    def __repr__(self) -> str:
        return "Query(...)"


class QueryAnswer(msgspec.Struct, frozen=True):
    """What the platform knows of the person asked for; `status` stands exactly when `outcome` is found."""

    TYPE: ClassVar[str] = "sentinel.answer"

    outcome: LookupOutcome
    status: HealthStatus | None = None

    def __post_init__(self) -> None:
        if (self.outcome is LookupOutcome.FOUND) != (self.status is not None):
            raise ValueError("an answer carries a status exactly when the person was found")


class DirectoryRequest(msgspec.Struct, frozen=True):
    """What a box has of the directory: all operations of `generation` up to `cursor`; cursor 0 asks for everything.

    `packed`: the box unpacks deflated pages.
    """

    TYPE: ClassVar[str] = "sentinel.directory.request"

    generation: str
    cursor: Op
    packed: bool = False


class DirectoryOp(msgspec.Struct, frozen=True):
    """The newest change of one person: `status` is the JSON of a HealthStatus, or null when the row is gone."""

    op: Op
    person_key: PersonKey
    status: msgspec.Raw

    def __repr__(self) -> str:
        return f"DirectoryOp(op={self.op})"


class DirectoryCheckpoint(msgspec.Struct, frozen=True):
    """The directory as a whole after operation `op`: number of rows and their checksum (see `contract.checksum`)."""

    op: Op
    rows: int
    checksum: Checksum


class DirectoryPage(msgspec.Struct, frozen=True):
    """Operations after `after`, in order; only the last page of a run carries the checkpoint that makes it count.

    `after` 0 begins a whole new copy. `start_again` says the box's cursor is of no use here: ask with cursor 0.
    """

    TYPE: ClassVar[str] = "sentinel.directory.page"

    generation: str
    after: Op
    ops: Annotated[tuple[DirectoryOp, ...], Meta(max_length=PAGE_LIMIT)] = ()
    checkpoint: DirectoryCheckpoint | None = None
    start_again: bool = False

    def __post_init__(self) -> None:
        numbers = [self.after, *(op.op for op in self.ops)]
        if any(later <= earlier for earlier, later in pairwise(numbers)):
            raise ValueError("the operations of a page must follow each other")


Message = (
    Ack | Backlog | BoxState | PlatformState | HealthReport | Query | QueryAnswer | DirectoryRequest | DirectoryPage
)
