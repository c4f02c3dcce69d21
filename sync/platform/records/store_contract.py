"""What the platform asks of the place where its records lie: each (box, epoch, seq) once, whatever comes twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import msgspec

from sync.contract.records import AlarmRaised
from sync.platform.records.received import AbsentRange, ReceivedRecord, from_ms
from sync.platform.records.summary import DUPLICATE, KIND, REDELIVERED, VERDICT


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over all that is stored, read from the summaries."""

    kinds: dict[str, int]
    boxes: dict[str, tuple[int, datetime]]  # records and the time the last one came, by box
    verdicts_today: dict[str, dict[str, int]]  # by box and verdict
    reasons: dict[str, dict[str, int]]  # by verdict and its first reason
    duplicates: int  # effects stored twice: must be 0
    redelivered: int  # repeats ignored
    alarms: list[tuple[str, AlarmRaised]]  # newest first, with their box


@dataclass(frozen=True, slots=True)
class Stream:
    """The numbers of one epoch of a box: all up to `settled` are stored or known to be absent."""

    box: str
    epoch: str
    highest: int
    settled: int
    asked_ms: int  # when the box was last asked for what is missing

    @property
    def key(self) -> tuple[str, str]:
        return self.box, self.epoch


@dataclass(frozen=True, slots=True)
class SequenceRange:
    """Numbers of one epoch that a box used on one day, and the stored ones next to them (None: there is none)."""

    epoch: str
    first: int
    last: int
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record as it lies in the store."""

    seq: int
    kind: str
    chain: bytes | None
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fork:
    """An epoch that two devices write, as with a copied card: `records` rivals from number `first` on, in ms `since`.

    Rivals (see `branches`) are stored and acknowledged, and counted nowhere else.
    """

    box: str
    epoch: str
    first: int
    records: int
    since_ms: int


class RecordStore(Protocol):
    """Records of all boxes. Every method raises StoreFailed; a write that failed stored nothing.

    Several processes may write to one store: a record that two of them bring is stored and counted once.
    """

    async def insert(self, arrivals: Sequence[ReceivedRecord], absences: Sequence[AbsentRange] = ()) -> int:
        """Commit `arrivals`, what they add to the summaries, and `absences`; returns how many records were new.

        What comes under a number that another record has is kept apart, as are all that go on from there.
        """

    async def totals(self, day: str, alarms: int) -> Totals:
        """Counts, verdicts of `day`, and the newest `alarms` alarms."""

    async def open_streams(self, heard_since_ms: int, asked_before_ms: int) -> list[Stream]:
        """Streams with numbers beyond `settled`, heard since the one time and not asked for since the other."""

    async def settle(self, stream: Stream, settled: int, asked_ms: int) -> bool:
        """Note how far `stream` is settled and when it was asked; False when another process did meanwhile."""

    async def holes(self, box: str, epoch: str, first: int, last: int) -> list[tuple[int, int]]:
        """Inclusive ranges of numbers from `first` to `last` that are not stored, in order, 1,000 at most."""

    async def absences(self, box: str, epoch: str) -> list[AbsentRange]:
        """Numbers of one epoch that will never come."""

    async def spans(self, box: str, day: str | None) -> list[SequenceRange]:
        """What a box used on `day`, or on all days, by epoch in the order of receipt."""

    async def forks(self) -> list[Fork]:
        """Epochs that two devices write, the newest first."""

    async def kept(self, box: str, epoch: str, first: int, last: int) -> list[StoredRecord]:
        """Records with these numbers, in order, 1,000 at most."""


def read_totals(
    tally: Iterable[tuple[str, str, str, int]],
    boxes: Iterable[tuple[str, int, int]],
    alarms: Iterable[tuple[str, bytes]],
) -> Totals:
    """Totals from rows: tally (name, key, detail, count), boxes (box, records, newest ms), alarms (box, body)."""
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
        alarms=[(box, msgspec.json.decode(body, type=AlarmRaised)) for box, body in alarms],
    )
