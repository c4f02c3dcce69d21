"""Records of the ledger: the messages that a box must not lose."""

from __future__ import annotations

import re
from typing import ClassVar

import msgspec

from sync.contract.decoding import decoded
from sync.contract.health import Colour, Freshness, Instant, LookupOutcome, TestResult
from sync.errors import BadMessage

LARGEST = (1 << 53) - 1  # of sequence numbers: JSON readers with 64-bit floats lose digits beyond it
RECORD_LIMIT_BYTES = 65_536  # of the body of one record; a platform refuses a larger one
EPOCH_PATTERN = "[0-9a-f]{16}"
_EPOCH = re.compile(EPOCH_PATTERN)
_SEQ = re.compile("[1-9][0-9]{0,15}")


class Clock(msgspec.Struct, frozen=True):
    """When something happened, and whether the wall clock was synchronised at that time."""

    wall: Instant
    boot_id: str
    monotonic_ms: int
    in_sync: bool
    error_ms: int | None = None

    def seconds_since(self, earlier: Clock) -> tuple[float, float] | None:
        """The least and the most seconds that may have passed since `earlier`; None: unknown.

        Within one boot the monotonic clock decides. Otherwise the errors of both wall clocks must be known: a clock
        without a battery stands still while its box is off.
        """
        if self.boot_id == earlier.boot_id and self.monotonic_ms >= earlier.monotonic_ms:
            passed_s = (self.monotonic_ms - earlier.monotonic_ms) / 1000
            return passed_s, passed_s
        if self.error_ms is None or earlier.error_ms is None:
            return None
        passed_s, error_s = (self.wall - earlier.wall).total_seconds(), (self.error_ms + earlier.error_ms) / 1000
        return None if passed_s + error_s < 0 else (max(0.0, passed_s - error_s), passed_s + error_s)


class Temperature(msgspec.Struct, frozen=True):
    """A screening temperature and its inputs, in °C; `estimate_c` None: not measured."""

    estimate_c: float | None
    uncertainty_c: float | None  # one standard deviation
    skin_c: float | None  # raw, of the region with the most weight
    ambient_c: float | None
    samples: int
    method: str  # name and version of the model, and the regions that it used
    # Since 0.2.
    grade: str | None = None  # normal, high, low, not_measured
    regions: dict[str, float] = {}  # raw skin of each region seen
    correction_c: float | None = None  # calibration of this sensor, added to every raw value before the model
    distance_m: float | None = None
    fever_probability: float | None = None  # of oral >= 37.5 °C, at the prevalence of the study
    outside: tuple[str, ...] = ()  # inputs outside the range of the model


class Mask(msgspec.Struct, frozen=True):
    """Mask state voted over `frames` pictures; `state` None: not determined."""

    state: str | None
    share: float  # weight of the winning state, 0..1
    frames: int


class Health(msgspec.Struct, frozen=True):
    """Health status of the person at the time of the verdict; `result` None: a record from before 0.2."""

    lookup: LookupOutcome
    source: str
    freshness: Freshness
    age_s: float
    colour: Colour | None = None
    as_of: Instant | None = None
    sampled_at: Instant | None = None
    reported_at: Instant | None = None
    result: TestResult | None = None
    lists: tuple[str, ...] = ()
    exempt_until: Instant | msgspec.UnsetType = msgspec.UNSET  # since 0.3; absent as a rule: the disk counts


class PassageDecided(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict, committed before it is announced."""

    TYPE: ClassVar[str] = "sentinel.passage.decided"

    passage_id: str
    follows: str | None  # the passage this one rechecks
    decided: Clock
    checkpoint: str
    lane: str
    direction: str
    verdict: str
    reasons: tuple[str, ...]
    credential: str | None  # kind: code, card, face
    person_key: str | None
    temperature: Temperature
    mask: Mask
    health: Health
    policy_version: int
    arrival_to_decision_ms: int
    # Since 0.2, so that another policy can be evaluated on past passages.
    attempt: int = 1  # 1 plus the number of passages that it rechecks
    credential_problem: str | None = None  # expired, unreadable
    parts_lost: tuple[str, ...] = ()  # thermometer, camera
    age: str | None = None  # child, adult, elder, where the credential contains it


class PassageClosed(msgspec.Struct, frozen=True, kw_only=True):
    """How a passage ended: the second record of a passage."""

    TYPE: ClassVar[str] = "sentinel.passage.closed"

    passage_id: str
    closed: Clock
    outcome: str  # opened, passed, gate_failed, left, retried, stayed, interrupted
    arrival_to_prompt_ms: int | None
    gate_opened: bool | None  # None: unknown, because the agent was terminated


class AlarmRaised(msgspec.Struct, frozen=True, kw_only=True):
    """An event that needs immediate attention by staff."""

    TYPE: ClassVar[str] = "sentinel.alarm.raised"

    alarm_id: str
    raised: Clock
    kind: str  # fever, watch_list, part_lost, part_unstable, part_back, store_full, …
    subject: str  # part name or passage id, never a person
    detail: str


class BroadcastPlayed(msgspec.Struct, frozen=True, kw_only=True):
    """A broadcast was played, or could only be shown on the screen. Since 0.2.

    An emergency broadcast repeats; it is recorded when it begins and whenever `heard` changes.
    """

    TYPE: ClassVar[str] = "sentinel.broadcast.played"

    broadcast_id: str
    played: Clock
    emergency: bool
    heard: bool  # played to its end; False: only shown on the screen, or interrupted by an emergency


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Records that were lost or evicted, counted by kind, so that every loss is itself delivered.

    `epoch` names an earlier epoch of the box whose file was damaged; None: the epoch of this record.
    """

    TYPE: ClassVar[str] = "sentinel.ledger.gap"

    noted: Clock
    lost: dict[str, int]
    first_seq: int
    last_seq: int
    epoch: str | None = None


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """Data that a box deleted locally, counted by kind of record or other class; the platform keeps its copy.

    Since 0.2. Older platforms store it as a record of unknown kind.
    """

    TYPE: ClassVar[str] = "sentinel.ledger.deleted"

    noted: Clock
    why: str  # retention, room
    counts: dict[str, int]


Record = PassageDecided | PassageClosed | AlarmRaised | BroadcastPlayed | Gap | Deleted
RECORD_TYPES: dict[str, type[Record]] = {
    kind.TYPE: kind for kind in (PassageDecided, PassageClosed, AlarmRaised, BroadcastPlayed, Gap, Deleted)
}
_DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in RECORD_TYPES.items()}


def encode_record(record: Record) -> bytes:
    """JSON body of `record`; its TYPE is sent separately."""
    return msgspec.json.encode(record)


def decode_record(kind: str, body: bytes) -> Record:
    """The record of TYPE `kind` in `body`. Raises BadMessage, which does not quote it."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise BadMessage(f"unknown record type {kind[:60]!r}")
    return decoded(kind, decoder, body)


class RecordId(msgspec.Struct, frozen=True):
    """Unique name of one record in the city; `str()` and `parse()` convert to and from its wire form."""

    box: str
    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.box}/{self.epoch}/{self.seq}"

    @classmethod
    def parse(cls, text: str) -> RecordId:
        """Parse the wire form. Raises BadMessage."""
        box, _, tail = text.partition("/")
        epoch, _, seq = tail.partition("/")
        if not (box and _EPOCH.fullmatch(epoch) and _SEQ.fullmatch(seq) and int(seq) <= LARGEST):
            raise BadMessage(f"a record id is box/epoch/seq, 16 hex digits and a number from 1 to {LARGEST}")
        return cls(box, epoch, int(seq))
