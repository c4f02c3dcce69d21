"""Records of the ledger: what a box must never lose, one message each."""

from __future__ import annotations

import re
from typing import ClassVar

import msgspec

from sync.contract.decoding import decoded
from sync.contract.health import Colour, Freshness, Instant, LookupOutcome, TestResult
from sync.errors import BadMessage

LARGEST = (1 << 53) - 1  # of any number that counts: beyond it readers of JSON lose digits
EPOCH_PATTERN = "[0-9a-f]{16}"
_EPOCH = re.compile(EPOCH_PATTERN)
_SEQ = re.compile("[1-9][0-9]{0,15}")


class Clock(msgspec.Struct, frozen=True):
    """When something happened, and how far the wall clock could be trusted then."""

    wall: Instant
    boot_id: str
    monotonic_ms: int
    in_sync: bool
    error_ms: int | None = None


class Temperature(msgspec.Struct, frozen=True):
    """A screening temperature and all it was made from, in °C; `estimate_c` None means not measured."""

    estimate_c: float | None
    uncertainty_c: float | None  # one standard deviation
    skin_c: float | None  # raw, of the region that told most
    ambient_c: float | None
    samples: int
    method: str  # name and version of the fit, and the regions that it used
    # Since 0.2.
    grade: str | None = None  # normal, high, low, not_measured
    regions: dict[str, float] = {}  # raw skin of each region seen
    correction_c: float | None = None  # this sensor's own, added to every raw value before the fit
    distance_m: float | None = None
    fever_probability: float | None = None  # of oral >= 37.5 °C, where fevers are as common as in the study
    outside: tuple[str, ...] = ()  # what lay outside the fitted range


class Mask(msgspec.Struct, frozen=True):
    """Mask state voted over `frames` pictures; `state` None means not judged."""

    state: str | None
    share: float  # weight of the winning state, 0..1
    frames: int


class Health(msgspec.Struct, frozen=True):
    """What was known of the person when the verdict was taken; `result` None: a record from before 0.2."""

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


class PassageDecided(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict, committed before it is spoken."""

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
    # Since 0.2, so that another policy can be tried on what was decided.
    attempt: int = 1  # this passage and the ones it rechecks
    credential_problem: str | None = None  # expired, unreadable
    parts_lost: tuple[str, ...] = ()  # thermometer, camera
    age: str | None = None  # child, adult, elder, where the credential tells


class PassageClosed(msgspec.Struct, frozen=True, kw_only=True):
    """How a passage ended: its second row."""

    TYPE: ClassVar[str] = "sentinel.passage.closed"

    passage_id: str
    closed: Clock
    outcome: str  # opened, passed, gate_failed, left, retried, stayed, interrupted
    arrival_to_prompt_ms: int | None
    gate_opened: bool | None  # None: nobody knows, the agent died


class AlarmRaised(msgspec.Struct, frozen=True, kw_only=True):
    """Something staff must hear of at once."""

    TYPE: ClassVar[str] = "sentinel.alarm.raised"

    alarm_id: str
    raised: Clock
    kind: str  # fever, watch_list, part_lost, part_back, store_full, …
    subject: str  # part name or passage id, never a person
    detail: str


class BroadcastPlayed(msgspec.Struct, frozen=True, kw_only=True):
    """A broadcast was said, or could only be shown. Since 0.2.

    An emergency, which is said again and again, is put down when it begins, and when it is no longer or again heard.
    """

    TYPE: ClassVar[str] = "sentinel.broadcast.played"

    broadcast_id: str
    played: Clock
    emergency: bool
    heard: bool  # to its end; False: only the screen told it, or an emergency cut it short


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Records that a store had to give up, by kind: a loss is itself delivered.

    `epoch` names an earlier epoch of the box whose file was damaged; None is the epoch of this record.
    """

    TYPE: ClassVar[str] = "sentinel.ledger.gap"

    noted: Clock
    lost: dict[str, int]
    first_seq: int
    last_seq: int
    epoch: str | None = None


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What a box has deleted of its own copy, by kind of record or other class: nothing of it is lost to the platform.

    Since 0.2. A platform of before keeps it as a record of a kind that it does not know.
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
    """JSON body of `record`; its TYPE travels beside it."""
    return msgspec.json.encode(record)


def decode_record(kind: str, body: bytes) -> Record:
    """The record of TYPE `kind` in `body`; raises BadMessage without quoting any of it."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise BadMessage(f"no record type {kind[:60]!r}")
    return decoded(kind, decoder, body)


class RecordId(msgspec.Struct, frozen=True):
    """Name of one record in the whole city; `str()` and `parse()` are its wire form."""

    box: str
    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.box}/{self.epoch}/{self.seq}"

    @classmethod
    def parse(cls, text: str) -> RecordId:
        """The record that `text` names; raises BadMessage."""
        box, _, tail = text.partition("/")
        epoch, _, seq = tail.partition("/")
        if not (box and _EPOCH.fullmatch(epoch) and _SEQ.fullmatch(seq) and int(seq) <= LARGEST):
            raise BadMessage(f"a record id is box/epoch/seq, 16 hex digits and a number from 1 to {LARGEST}")
        return cls(box, epoch, int(seq))
