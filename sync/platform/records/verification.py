"""Verifies that the records of one box are complete and unaltered; reports what is missing or altered."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Collection, Iterable
from enum import StrEnum

import msgspec

from sync.contract.chain import first_hash, next_hash
from sync.platform.records.gaps import Ranges, common, without
from sync.platform.records.received import from_ms
from sync.platform.records.store_contract import Fork, RecordStore, ReportedEnd, SequenceRange, StoredRecord

_NAMED = 100  # most places listed in a report


class State(StrEnum):
    """Result of a verification, from best to worst."""

    COMPLETE = "complete"  # every number up to the confirmed end is stored and every hash matches
    OPEN = "open"  # the same, but neither the box nor a later record confirms that the last stored number is the last
    UNPROVEN = "unproven"  # every number is stored, some without a hash
    WAITING = "waiting"  # the numbers that are missing wait on the box, as it last reported
    INCOMPLETE = "incomplete"  # numbers are lost, or missing for an unknown reason
    FORKED = "forked"  # two devices wrote as this box; the records do not show which is the true one
    BROKEN = "broken"  # a hash does not match: a record was altered, added or replaced


class Why(StrEnum):
    """Why a number is not stored."""

    WAITING = "waiting"  # on the box, as it last reported
    LOST = "lost"  # for the reason that the box or the platform recorded
    UNKNOWN = "unknown"


class Missing(msgspec.Struct, frozen=True):
    """Numbers `first` to `last` are not stored; `reason` is set if they are lost."""

    first: int
    last: int
    reason: str | None
    why: Why = Why.UNKNOWN

    def line(self) -> str:
        """The same as a line of text."""
        numbers = _range(self.first, self.last)
        match self.why:
            case Why.WAITING:
                return f"    waiting on the box, by its last report: {numbers}"
            case Why.LOST:
                return f"    missing {numbers}: {self.reason}"
            case Why.UNKNOWN:
                return f"    missing {numbers}: reason unknown; the box is asked for them while it is connected"


class EpochProof(msgspec.Struct, frozen=True):
    """Verification of the numbers `first` to `last` of one epoch.

    `head` is the hash of the last record; keep it to detect later changes of the records up to it. The end is confirmed
    by a later record that continues from this hash, or by the box, which reported this number and hash as
    its last at `reported_ms` (None: it has reported nothing of this epoch).
    """

    epoch: str
    first: int
    last: int
    records: int
    missing: list[Missing]
    broken_at: list[int]
    without_hash: int
    confirmed: bool
    head: str | None
    state: State
    rivals: int = 0
    rivals_from: int | None = None
    reported_ms: int | None = None
    confirmed_by_box: bool = False

    def lines(self) -> list[str]:
        """The result as lines of text."""
        lines = [f"  epoch {self.epoch}: {self.records} records, numbers {self.first} to {self.last}: {self.state}"]
        lines += [
            f"    hash of {seq} does not match: this record or the one before was altered" for seq in self.broken_at
        ]
        lines += [each.line() for each in self.missing]
        if self.rivals:
            lines.append(
                f"    {self.rivals} records of a second device, from number {self.rivals_from} on, are stored apart:"
                " was the card of this box copied?"
            )
        if self.without_hash:
            lines.append(f"    {self.without_hash} records have no hash")
        if self.confirmed and self.confirmed_by_box:
            lines.append(f"    end of chain confirmed by the report of the box {self._heard()}")
        if not self.confirmed:
            lines.append(f"    end of chain not confirmed; keep its hash: {self.head or 'none'}")
            lines.append(
                f"    the box last reported where this epoch ends {self._heard()}: connect it, and verify again"
            )
        return lines

    def _heard(self) -> str:
        return "never" if self.reported_ms is None else f"at {from_ms(self.reported_ms):%Y-%m-%d %H:%M:%S} UTC"


class Proof(msgspec.Struct, frozen=True):
    """Verification of one box and day (None: all days); `state` is the worst of its epochs, None without records."""

    box: str
    day: str | None
    state: State | None
    epochs: list[EpochProof]

    def lines(self) -> list[str]:
        """The result as lines of text."""
        subject = f"{self.box}, {self.day or 'every day'}"
        if not self.epochs:
            return [f"{subject}: no records"]
        return [f"{subject}: {self.state}", *(line for epoch in self.epochs for line in epoch.lines())]


async def verify(store: RecordStore, box: str, day: str | None) -> Proof:
    """Recompute the hash chain over the records of `box` on `day`, or on all days. Raises StoreFailed."""
    forks = {fork.epoch: fork for fork in await store.forks(box=box)}
    ends = {end.epoch: end for end in await store.ends(box)}
    spans = await store.spans(box, day)
    if day is None:  # epochs of which only the box knows
        stored = {span.epoch for span in spans}
        spans += [SequenceRange(end.epoch, 1, 0, None, None) for end in _unstored(ends.values(), stored)]
    proofs = [await _verify_epoch(store, box, span, forks.get(span.epoch), ends.get(span.epoch)) for span in spans]
    order = list(State)
    worst = max((proof.state for proof in proofs), key=order.index, default=None)
    return Proof(box, day, worst, proofs)


class ChainVerifier:
    """Checks the records of one epoch in order and collects gaps and hashes that do not match."""

    def __init__(self, box: str, epoch: str) -> None:
        self.records = 0
        self.without_hash = 0
        self.holes: list[tuple[int, int]] = []
        self.broken_at: list[int] = []
        self.last: StoredRecord | None = None
        self._origin = first_hash(box, epoch)

    def add(self, record: StoredRecord, *, counted: bool) -> None:
        before = self.last.seq if self.last else 0
        if record.seq > before + 1:
            self.holes.append((before + 1, record.seq - 1))
        elif not self._matches(record) and len(self.broken_at) < _NAMED:
            self.broken_at.append(record.seq)
        if counted:
            self.records += 1
            self.without_hash += record.chain is None
        self.last = record

    def close(self, last: int, end: ReportedEnd | None) -> bool:
        """Compare the last stored number with the end that the box reported; returns whether the box confirms it.

        Records from after the report are not confirmed by it, nor is the end of a file that was damaged.
        """
        if end is None or end.last_seq < last:
            return False
        if end.last_seq > last:
            self.holes.append((last + 1, end.last_seq))
            return False
        if end.head is None or self.last is None or self.last.chain is None:
            return False
        if end.head != self.last.chain and last not in self.broken_at:
            self.broken_at.append(last)
        return end.head == self.last.chain

    def _matches(self, record: StoredRecord) -> bool:
        """Whether the hash of `record` follows from the one before; True if one has no hash."""
        previous = self._origin if self.last is None else self.last.chain
        if previous is None or record.chain is None:
            return True
        return next_hash(previous, record.seq, record.kind, record.body) == record.chain


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


def _unstored(ends: Iterable[ReportedEnd], stored: Collection[str]) -> list[ReportedEnd]:
    return [end for end in ends if end.epoch not in stored and end.last_seq > 0]


async def _verify_epoch(
    store: RecordStore, box: str, span: SequenceRange, fork: Fork | None, end: ReportedEnd | None
) -> EpochProof:
    verifier = ChainVerifier(box, span.epoch)
    if span.before is not None:
        [verifier.last] = await store.stored(box, span.epoch, span.before, span.before)
    head: StoredRecord | None = None
    async for record in all_stored(store, box, span.epoch, span.first, span.last):
        verifier.add(record, counted=True)
        head = record
    confirmed = False
    if span.after is None:
        confirmed = verifier.close(span.last, end)
    else:
        [after] = await store.stored(box, span.epoch, span.after, span.after)
        verifier.add(after, counted=False)
        confirmed = span.after == span.last + 1 and after.chain is not None and span.after not in verifier.broken_at
    missing = await _reasons(store, box, span.epoch, verifier.holes, end.waiting if end else ())
    return EpochProof(
        epoch=span.epoch,
        first=span.first,
        last=span.last,
        records=verifier.records,
        missing=missing,
        broken_at=verifier.broken_at,
        without_hash=verifier.without_hash,
        confirmed=confirmed,
        head=head.chain.hex() if head and head.chain else None,
        state=_state(verifier, missing, fork, confirmed=confirmed),
        rivals=fork.records if fork else 0,
        rivals_from=fork.first if fork else None,
        reported_ms=end.said_ms if end else None,
        confirmed_by_box=confirmed and span.after is None,
    )


def _state(verifier: ChainVerifier, missing: list[Missing], fork: Fork | None, *, confirmed: bool) -> State:
    if verifier.broken_at:
        return State.BROKEN
    if fork is not None:
        return State.FORKED
    if missing:
        return State.WAITING if all(each.why is Why.WAITING for each in missing) else State.INCOMPLETE
    if verifier.without_hash:
        return State.UNPROVEN
    return State.COMPLETE if confirmed else State.OPEN


async def all_stored(store: RecordStore, box: str, epoch: str, first: int, last: int) -> AsyncIterator[StoredRecord]:
    """Every stored record with these numbers, in order."""
    while chunk := await store.stored(box, epoch, first, last):
        for record in chunk:
            yield record
        first = chunk[-1].seq + 1


async def _reasons(
    store: RecordStore, box: str, epoch: str, holes: Ranges, waiting: Iterable[tuple[int, int]]
) -> list[Missing]:
    """The holes, split where the reason changes; what waits on the box is not lost, whatever was recorded before."""
    if not holes:
        return []
    absences = await store.absences(box, epoch)
    held = common(holes, waiting)
    others = without(holes, held)
    found = [Missing(first, last, None, Why.WAITING) for first, last in held]
    found += [Missing(*each, None) for each in without(others, [(each.first, each.last) for each in absences])]
    ends = [last for _, last in others]
    for each in absences:
        begin = bisect_left(ends, each.first)
        lost = common(others[begin : begin + _NAMED], [(each.first, each.last)])
        found += [Missing(first, last, each.reason, Why.LOST) for first, last in lost]
    return sorted(found, key=lambda missing: missing.first)[:_NAMED]
