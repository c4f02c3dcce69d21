"""One record as received by the platform, with the fields that the summaries need."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b

import msgspec

from sync.contract.decoding import decoded
from sync.contract.records import (
    LARGEST,
    RECORD_LIMIT_BYTES,
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

log = logging.getLogger(__name__)

_TEXT_LIMIT = 120  # characters of a text used in a key
_REASON_LIMIT = 500
_ANY_JSON = msgspec.json.Decoder()
_QUARTER_MS = 15 * 60 * 1000  # in every time zone midnight is on a quarter of an hour


@dataclass(frozen=True, slots=True)
class AbsentRange:
    """`count` of the numbers `first` to `last` will never be received, for `reason`."""

    box: str
    epoch: str
    first: int
    last: int
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReceivedRecord:
    """One record; a record of an unknown kind is stored as it is. `chain` None: the box sent no hash."""

    name: RecordId
    kind: str
    happened_ms: int
    received_ms: int
    body: bytes = field(repr=False)
    chain: bytes | None = None
    subject: str | None = None  # id of which one record of this kind may exist
    verdict: str | None = None
    reason: str | None = None  # the first reason
    absence: AbsentRange | None = None  # declared by a gap record

    @classmethod
    def read(
        cls, name: RecordId, kind: str, time: datetime, received: datetime, body: bytes, chain: bytes | None = None
    ) -> ReceivedRecord:
        """The record `name` in `body`. Raises BadMessage if its kind is known and its body is invalid."""
        _text(kind)
        if len(body) > RECORD_LIMIT_BYTES:
            raise BadMessage(f"a record must have at most {RECORD_LIMIT_BYTES} bytes")
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
                return cls(name, kind, happened_ms, received_ms, body, chain, absence=_absence(name, record))
            case BroadcastPlayed() | Deleted() | None:
                return cls(name, kind, happened_ms, received_ms, body, chain)

    @classmethod
    def read_stored(cls, name: RecordId, kind: str, happened_ms: int, received_ms: int, body: bytes) -> ReceivedRecord:
        """A record that an older version stored; if it is not valid today, without the fields of the summaries."""
        try:
            return cls.read(name, kind, from_ms(happened_ms), from_ms(received_ms), body)
        except (BadMessage, ValueError, OverflowError, OSError) as exc:
            log.warning("record %s of an older version is kept without its summary: %s", name, exc)
            return cls(name, kind, happened_ms, received_ms, body)

    @property
    def day(self) -> str:
        """The day of the record, as YYYY-MM-DD in the time zone of the platform."""
        return _day(self.happened_ms // _QUARTER_MS)

    @property
    def effect(self) -> bytes | None:
        """16-byte key of what may happen only once at a box, such as a passage; None for other records."""
        if self.subject is None:
            return None
        return blake2b(f"{self.name.box}/{self.kind}/{self.subject}".encode(), digest_size=16).digest()


def today() -> str:
    """The current day, in the format of `ReceivedRecord.day`."""
    return _day(time.time_ns() // 1_000_000 // _QUARTER_MS)


def to_ms(instant: datetime) -> int:
    """`instant` in milliseconds since 1970, as in the stores."""
    return int(instant.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    """The time `ms` milliseconds after 1970."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def _text(text: str) -> str:
    if len(text) > _TEXT_LIMIT or not text.isprintable():
        raise BadMessage(f"a text must be printable and at most {_TEXT_LIMIT} characters")
    return text


def _number(number: int) -> int:
    if not 0 <= number <= LARGEST:
        raise BadMessage(f"a number must be from 0 to {LARGEST}")
    return number


def _decode(kind: str, body: bytes) -> Record | None:
    if kind in RECORD_TYPES:
        return decode_record(kind, body)
    decoded(kind, _ANY_JSON, body)
    return None


def _absence(name: RecordId, gap: Gap) -> AbsentRange:
    lost = ", ".join(f"{_number(number)} {_text(kind)}" for kind, number in sorted(gap.lost.items()))
    return AbsentRange(
        name.box,
        _text(gap.epoch or name.epoch),
        _number(gap.first_seq),
        _number(gap.last_seq),
        _number(sum(gap.lost.values())),
        f"given up by the box: {lost}"[:_REASON_LIMIT],
    )


@lru_cache(maxsize=4096)
def _day(quarter: int) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(quarter * _QUARTER_MS / 1000))
