"""Messages on the wire other than ledger records: frozen, validated when decoded. TYPE is the CloudEvents type."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from sync.contract.health import Freshness, HealthStatus, Instant, LookupOutcome
from sync.contract.records import EPOCH_PATTERN, LARGEST, Record, decode_record, encode_record

BACKLOG_LIMIT = 100  # records in one backlog message
BACKLOG_LIMIT_BYTES = 1_048_576  # of the body of one backlog message
PAGE_LIMIT = 500  # operations in one directory page
EPOCH_LIMIT = 8  # epochs in a health report
WAITING_LIMIT = 20  # ranges of waiting records of one epoch in a health report

Epoch = Annotated[str, Meta(pattern=rf"^{EPOCH_PATTERN}\Z")]
Seq = Annotated[int, Meta(ge=1, le=LARGEST)]
Op = Annotated[int, Meta(ge=0, le=LARGEST)]
PersonKey = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Checksum = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
ChainHash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Pace = Annotated[float, Meta(gt=0)]
Nonce = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
Version = Annotated[int, Meta(ge=1, le=LARGEST)]


class Refusal(msgspec.Struct, frozen=True):
    """One record that the platform rejects permanently, and why."""

    seq: Seq
    reason: str


class Ack(msgspec.Struct, frozen=True):
    """Records that the platform has committed: inclusive ranges of sequence numbers of one epoch.

    `backlog_per_s` is the new rate limit in backlog records a second; None leaves it unchanged. `missing` are numbers
    that the platform lacks although it has later ones: the box sends them again, even if they were acknowledged before.
    `heads` are the hashes of the last records of `ranges`, where they have one: after an SD card was cloned, two boxes
    write under one name, and only the record with this hash was committed. Platforms before 0.3 send no heads.
    """

    TYPE: ClassVar[str] = "sentinel.ack"

    epoch: Epoch
    ranges: tuple[tuple[Seq, Seq], ...]
    refused: tuple[Refusal, ...] = ()
    backlog_per_s: Pace | None = None
    missing: tuple[tuple[Seq, Seq], ...] = ()
    heads: tuple[ChainHash | None, ...] = ()


class BacklogEntry(msgspec.Struct, frozen=True):
    """One record of a backlog message; `data` is its JSON as stored in the ledger.

    Each record is decoded separately. `chain` is its hash (see `contract.chain`); boxes before 0.2 send none.
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
        """The decoded record. Raises BadMessage."""
        return decode_record(self.type, bytes(self.data))


class Backlog(msgspec.Struct, frozen=True):
    """Up to 100 delayed records of one epoch."""

    TYPE: ClassVar[str] = "sentinel.backlog"

    epoch: Epoch
    records: Annotated[tuple[BacklogEntry, ...], Meta(min_length=1, max_length=BACKLOG_LIMIT)]


class BoxState(msgspec.Struct, frozen=True):
    """Birth message (`online`) or will (not `online`) of one box."""

    TYPE: ClassVar[str] = "sentinel.state"

    online: bool
    epoch: Epoch
    boot_id: str
    versions: dict[str, str]


class PlatformState(msgspec.Struct, frozen=True):
    """Whether the platform commits records now; a running broker alone is not sufficient.

    `backlog_per_s` is the initial rate limit of each box in backlog records a second; None: no limit.
    `reconnect_spread_s`: the period over which boxes spread their first reconnection, because all disconnect together.
    `boot_id` identifies the process: a new process may have lost records that were not committed before.
    """

    TYPE: ClassVar[str] = "sentinel.platform"

    online: bool
    backlog_per_s: Pace | None = None
    reconnect_spread_s: Pace | None = None
    boot_id: str | None = None


class OutboxHealth(msgspec.Struct, frozen=True):
    """State of the outbox: the unacknowledged records of the ledger."""

    last_seq: int
    unacknowledged: int
    parked: int
    oldest_age_s: float
    used_bytes: int


class EpochEnd(msgspec.Struct, frozen=True):
    """The end of one epoch of the ledger: its last number (0: none) with its hash, and the numbers that wait.

    `head` None: the hash is not known, because the file was damaged; then its last number may not be the last one.
    `waiting` are the first ranges of numbers that the box has and the platform has not acknowledged.
    """

    epoch: Epoch
    last_seq: Annotated[int, Meta(ge=0, le=LARGEST)]
    head: ChainHash | None = None
    waiting: Annotated[tuple[tuple[Seq, Seq], ...], Meta(max_length=WAITING_LIMIT)] = ()


class DirectoryHealth(msgspec.Struct, frozen=True):
    """Age of the directory replica of the box."""

    freshness: Freshness
    age_s: float | None  # None: never confirmed
    cursor: Op


class HealthReport(msgspec.Struct, frozen=True):
    """Health report of one box, sent every 30 s; `parts` maps a part to its state.

    `certificate_days`: days until the certificate of the box expires, negative afterwards; None without a certificate.
    `epochs`, since 1.2: the ends of the epochs of the box, the current one first.
    """

    TYPE: ClassVar[str] = "sentinel.health"

    uptime_s: float
    outbox: OutboxHealth
    directory: DirectoryHealth
    parts: dict[str, str]
    certificate_days: float | None = None
    epochs: Annotated[tuple[EpochEnd, ...], Meta(max_length=EPOCH_LIMIT)] = ()


class Query(msgspec.Struct, frozen=True):
    """Query for the status of one person who is not in the replica."""

    TYPE: ClassVar[str] = "sentinel.query"

    person_key: PersonKey

    def __repr__(self) -> str:
        return "Query(...)"


class QueryAnswer(msgspec.Struct, frozen=True):
    """Answer to a Query; `status` is set exactly if `outcome` is found."""

    TYPE: ClassVar[str] = "sentinel.answer"

    outcome: LookupOutcome
    status: HealthStatus | None = None

    def __post_init__(self) -> None:
        if (self.outcome is LookupOutcome.FOUND) != (self.status is not None):
            raise ValueError("an answer must have a status if and only if the person was found")


class DirectoryRequest(msgspec.Struct, frozen=True):
    """Requests the directory operations of `generation` after `cursor`; cursor 0 requests a full copy.

    `packed`: the box accepts deflated pages.
    """

    TYPE: ClassVar[str] = "sentinel.directory.request"

    generation: str
    cursor: Op
    packed: bool = False


class DirectoryOp(msgspec.Struct, frozen=True):
    """The newest change of one person; `status` is the JSON of a HealthStatus, or null if the row was deleted."""

    op: Op
    person_key: PersonKey
    status: msgspec.Raw

    def __repr__(self) -> str:
        return f"DirectoryOp(op={self.op})"


class DirectoryCheckpoint(msgspec.Struct, frozen=True):
    """State of the whole directory after operation `op`: number of rows and checksum (see `contract.checksum`)."""

    op: Op
    rows: int
    checksum: Checksum


class DirectoryPage(msgspec.Struct, frozen=True):
    """Operations after `after`, in order; the last page of a run has the checkpoint with which the run is applied.

    `after` 0 starts a full copy. `start_again`: the cursor of the box is not valid here; request with cursor 0.
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
            raise ValueError("the operations of a page must be in ascending order")


Message = (
    Ack | Backlog | BoxState | PlatformState | HealthReport | Query | QueryAnswer | DirectoryRequest | DirectoryPage
)
