"""One record as it came to the platform, with what the summaries ask of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b

import msgspec

from sync.contract.decoding import decoded
from sync.contract.records import (
    LARGEST,
    RECORD_TYPES,
    AlarmRaised,
    BroadcastPlayed,
    Deleted,
    Gap,
    PassageClosed,
    PassageDecided,
    Record,
    RecordId,
    decode_record,
)
from sync.errors import BadMessage

_LONGEST = 120  # characters of a word that goes into a key
_LONGEST_REASON = 500
_ANYTHING = msgspec.json.Decoder()
_QUARTER_MS = 15 * 60 * 1000  # every time zone changes its day on a quarter of an hour


@dataclass(frozen=True, slots=True)
class AbsentRange:
    """Numbers `first` to `last` of which `count` will never come, and why."""

    box: str
    epoch: str
    first: int
    last: int
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReceivedRecord:
    """One record; a kind unknown to this platform is kept as it is. `chain` None: the box sent no hash."""

    name: RecordId
    kind: str
    happened_ms: int
    received_ms: int
    body: bytes = field(repr=False)
    chain: bytes | None = None
    subject: str | None = None  # what may exist once of this kind
    verdict: str | None = None
    reason: str | None = None  # the first one
    absence: AbsentRange | None = None  # what a gap record declares

    @classmethod
    def read(
        cls, name: RecordId, kind: str, time: datetime, received: datetime, body: bytes, chain: bytes | None = None
    ) -> ReceivedRecord:
        """The record `name` in `body`; raises BadMessage when it is of a known kind and not valid."""
        _text(kind)
        happened_ms, received_ms = to_ms(time), to_ms(received)
        record = _decode(kind, body)
        match record:
            case PassageDecided():
                reason = record.reasons[0] if record.reasons else "none"
                return cls(
                    *(name, kind, happened_ms, received_ms, body, chain),
                    subject=record.passage_id,
                    verdict=_text(record.verdict),
                    reason=_text(reason),
                )
            case PassageClosed():
                return cls(name, kind, happened_ms, received_ms, body, chain, subject=record.passage_id)
            case AlarmRaised():
                return cls(name, kind, happened_ms, received_ms, body, chain, subject=record.alarm_id)
            case Gap():
                return cls(name, kind, happened_ms, received_ms, body, chain, absence=_given_up(name, record))
            case BroadcastPlayed() | Deleted() | None:
                return cls(name, kind, happened_ms, received_ms, body, chain)

    @property
    def day(self) -> str:
        """The day it happened, as YYYY-MM-DD in the platform's time zone."""
        return _day(self.happened_ms // _QUARTER_MS)

    @property
    def effect(self) -> bytes | None:
        """Name of what may happen once at a box, 16 bytes; None for what may happen often."""
        if self.subject is None:
            return None
        return blake2b(f"{self.name.box}/{self.kind}/{self.subject}".encode(), digest_size=16).digest()


def today() -> str:
    """The present day as `ReceivedRecord.day` names it."""
    return _day(time.time_ns() // 1_000_000 // _QUARTER_MS)


def to_ms(instant: datetime) -> int:
    """`instant` as stores write it: milliseconds since 1970."""
    return int(instant.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    """The instant that `ms` stands for."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def _text(text: str) -> str:
    if len(text) > _LONGEST or not text.isprintable():
        raise BadMessage(f"a word must be printable and at most {_LONGEST} characters")
    return text


def _number(number: int) -> int:
    if not 0 <= number <= LARGEST:
        raise BadMessage(f"a number must be from 0 to {LARGEST}")
    return number


def _decode(kind: str, body: bytes) -> Record | None:
    if kind in RECORD_TYPES:
        return decode_record(kind, body)
    decoded(kind, _ANYTHING, body)
    return None


def _given_up(name: RecordId, gap: Gap) -> AbsentRange:
    said = ", ".join(f"{_number(number)} {_text(kind)}" for kind, number in sorted(gap.lost.items()))
    return AbsentRange(
        name.box,
        _text(gap.epoch or name.epoch),
        _number(gap.first_seq),
        _number(gap.last_seq),
        _number(sum(gap.lost.values())),
        f"given up by the box: {said}"[:_LONGEST_REASON],
    )


@lru_cache(maxsize=4096)
def _day(quarter: int) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(quarter * _QUARTER_MS / 1000))
