"""Contract of the record store of the platform, which stores each (box, epoch, seq) once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import msgspec

from sync.contract.decoding import decoded
from sync.contract.records import LARGEST, AlarmRaised, Clock
from sync.errors import BadMessage
from sync.platform.records.received import AbsentRange, ReceivedRecord, from_ms
from sync.platform.records.summary import DUPLICATE, KIND, REDELIVERED, VERDICT

_ALARM = msgspec.json.Decoder(AlarmRaised)


@dataclass(frozen=True, slots=True)
class ReceivedAlarm:
    """An alarm of `box`, and when the platform received it; `alarm.raised` is by the clock of the box."""

    box: str
    received: datetime
    alarm: AlarmRaised


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of all stored records, read from the summaries."""

    kinds: dict[str, int]
    boxes: dict[str, tuple[int, datetime]]  # by box: number of records, and when the last one was received
    verdicts_today: dict[str, dict[str, int]]  # by box and verdict
    reasons: dict[str, dict[str, int]]  # by verdict and its first reason
    duplicates: int  # effects stored twice; must be 0
    redelivered: int  # ignored repeats
    alarms: list[ReceivedAlarm]  # the one received last first
    forked: dict[str, int]  # by box: number of forked records


@dataclass(frozen=True, slots=True)
class Stream:
    """State of one epoch of a box; all numbers up to `settled` are stored or known to be absent."""

    box: str
    epoch: str
    highest: int
    settled: int
    asked_ms: int  # when missing numbers were last requested

    @property
    def key(self) -> tuple[str, str]:
        return self.box, self.epoch


@dataclass(frozen=True, slots=True)
class SequenceRange:
    """Numbers that a box used in one epoch and day, and the nearest stored numbers outside them (None: none)."""

    epoch: str
    first: int
    last: int
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One stored record."""

    seq: int
    kind: str
    chain: bytes | None
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fork:
    """An epoch that two devices write: `records` forked records, the first with number `first`, since `since_ms`.

    Forked records (see `forks`) are stored and acknowledged, and are not part of any other count.
    """

    box: str
    epoch: str
    first: int
    records: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class ReportedEnd:
    """What a box last reported of one epoch, at `said_ms`: its last number with its hash, and the numbers that wait."""

    box: str
    epoch: str
    last_seq: int
    head: bytes | None
    waiting: tuple[tuple[int, int], ...]
    said_ms: int

    def row(self) -> tuple[str, str, int, bytes | None, str, int]:
        """The row as stored, `waiting` as JSON."""
        waiting = msgspec.json.encode(self.waiting).decode()
        return self.box, self.epoch, self.last_seq, self.head, waiting, self.said_ms

    @classmethod
    def from_row(
        cls, box: str, epoch: str, last_seq: int, head: bytes | None, waiting: str, said_ms: int
    ) -> ReportedEnd:
        """Reverse of `row`."""
        ranges = msgspec.json.decode(waiting, type=tuple[tuple[int, int], ...])
        return cls(box, epoch, last_seq, head, ranges, said_ms)


class RecordStore(Protocol):
    """Records of all boxes. Every method raises StoreFailed; a write that failed stored nothing.

    Several processes may write to one store; a record that two of them insert is stored and counted once.
    """

    async def ingest_group(self) -> str:
        """Random name, made with the store, of the group in which its ingest processes share the records."""

    async def insert(self, records: Sequence[ReceivedRecord], absences: Sequence[AbsentRange] = ()) -> int:
        """Commit `records`, their summaries and `absences`; returns how many records were new.

        A record that differs from the stored one with the same number, and every record that continues from it, is
        stored as a forked record.
        """

    async def totals(self, day: str, alarms: int) -> Totals:
        """Counts, verdicts of `day`, and the newest `alarms` alarms."""

    async def note_ends(self, ends: Sequence[ReportedEnd]) -> None:
        """Store what boxes report of their epochs, in place of what they reported before; 32 epochs of a box stay."""

    async def ends(self, box: str) -> list[ReportedEnd]:
        """What `box` reported of its epochs."""

    async def open_streams(self, heard_since_ms: int, asked_before_ms: int) -> list[Stream]:
        """Streams with numbers beyond `settled`, stored or reported, whose box was heard since `heard_since_ms`.

        Streams with a request since `asked_before_ms` are left out.
        """

    async def settle(self, stream: Stream, settled: int, asked_ms: int) -> bool:
        """Store `settled` and `asked_ms` of `stream`; False if another process changed them since `stream` was read."""

    async def holes(self, box: str, epoch: str, first: int, last: int) -> list[tuple[int, int]]:
        """Inclusive ranges of numbers from `first` to `last` that are not stored, in order, at most 1,000."""

    async def absences(self, box: str, epoch: str, first: int = 1, last: int = LARGEST) -> list[AbsentRange]:
        """Numbers of one epoch that will never be received: the ranges that meet `first` to `last`, in order."""

    async def spans(self, box: str, day: str | None) -> list[SequenceRange]:
        """Numbers that a box used on `day`, or on all days, by epoch in the order of receipt."""

    async def forks(self, limit: int | None = None, box: str | None = None) -> list[Fork]:
        """Epochs that two devices write, of `box` or of all, newest first, at most `limit`."""

    async def stored(self, box: str, epoch: str, first: int, last: int) -> list[StoredRecord]:
        """Records with these numbers, in order, at most 1,000."""


def _alarm(body: bytes) -> AlarmRaised:
    """The alarm in `body`; one of an older version that is not valid today is shown as unreadable, at 1970."""
    try:
        return decoded("alarm", _ALARM, body)
    except BadMessage as exc:
        clock = Clock(wall=from_ms(0), boot_id="", monotonic_ms=0, in_sync=False)
        return AlarmRaised(alarm_id="", raised=clock, kind="unreadable", subject="", detail=str(exc))


def read_totals(
    tally: Iterable[tuple[str, str, str, int]],
    boxes: Iterable[tuple[str, int, int]],
    alarms: Iterable[tuple[str, bytes, int]],
    forked: Iterable[tuple[str, int]],
) -> Totals:
    """Totals from rows.

    Tally (name, key, detail, count), boxes (box, records, newest ms), alarms (box, body, received ms), forked (box,
    records).
    """
    kinds: dict[str, int] = {}
    today: dict[str, dict[str, int]] = {}
    reasons: dict[str, dict[str, int]] = {}
    single = {DUPLICATE: 0, REDELIVERED: 0}
    for name, key, detail, count in tally:
        if name == KIND:
            kinds[key] = count
        elif name == VERDICT:
            reasons.setdefault(key, {})[detail] = count
        elif name in single:
            single[name] = count
        else:
            today.setdefault(key, {})[detail] = count
    return Totals(
        kinds=kinds,
        boxes={box: (count, from_ms(newest_ms)) for box, count, newest_ms in boxes},
        verdicts_today=today,
        reasons=reasons,
        duplicates=single[DUPLICATE],
        redelivered=single[REDELIVERED],
        alarms=[ReceivedAlarm(box, from_ms(received_ms), _alarm(body)) for box, body, received_ms in alarms],
        forked=dict(forked),
    )
