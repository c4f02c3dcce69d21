"""Proves the records of one box complete and unaltered, or says what is missing and where the proof breaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum

import msgspec

from sync.contract.chain import first_hash, next_hash
from sync.platform.records.gaps import common, without
from sync.platform.records.store_contract import Fork, RecordStore, SequenceRange, StoredRecord

_NAMED = 100  # places named in a report


class State(StrEnum):
    """How a proof ended, from best to worst."""

    COMPLETE = "complete"  # every number is there and every hash fits
    UNPROVEN = "unproven"  # every number is there, some came without a hash
    INCOMPLETE = "incomplete"  # numbers are missing
    FORKED = "forked"  # two devices wrote under this name; nobody can tell from the records which is the true box
    BROKEN = "broken"  # a hash does not fit: a record was altered, added or exchanged


class Missing(msgspec.Struct, frozen=True):
    """Numbers `first` to `last`, which are not there; `reason` None: nobody said why."""

    first: int
    last: int
    reason: str | None


class EpochProof(msgspec.Struct, frozen=True):
    """What was proven of the numbers `first` to `last` of one epoch.

    `vouched`: a later record holds the hash of the last one, so nothing can have been cut off after it. `head` is the
    hash of the last record: whoever keeps it can tell later whether anything before it was changed.
    """

    epoch: str
    first: int
    last: int
    records: int
    missing: list[Missing]
    broken_at: list[int]
    without_hash: int
    vouched: bool
    head: str | None
    state: State
    rivals: int = 0
    rivals_from: int | None = None

    def lines(self) -> list[str]:
        """The proof for a person to read."""
        lines = [f"  epoch {self.epoch}: {self.records} records, numbers {self.first} to {self.last}: {self.state}"]
        lines += [
            f"    hash of {seq} does not fit: this record or the one before was altered" for seq in self.broken_at
        ]
        lines += [
            f"    missing {_range(each.first, each.last)}: {each.reason or 'nobody said why'}" for each in self.missing
        ]
        if self.rivals:
            lines.append(
                f"    {self.rivals} records of a second device, from number {self.rivals_from} on, are kept apart:"
                " was the card of this box copied?"
            )
        if self.without_hash:
            lines.append(f"    {self.without_hash} records came without a hash")
        if not self.vouched:
            lines.append(f"    nothing later vouches yet for the end; keep its hash: {self.head or 'none'}")
        return lines


class Proof(msgspec.Struct, frozen=True):
    """The proof of one box and day (None: all days); `state` is the worst of its epochs, None without any record."""

    box: str
    day: str | None
    state: State | None
    epochs: list[EpochProof]

    def lines(self) -> list[str]:
        """The proof for a person to read."""
        of = f"{self.box}, {self.day or 'every day'}"
        if not self.epochs:
            return [f"{of}: no records"]
        return [f"{of}: {self.state}", *(line for epoch in self.epochs for line in epoch.lines())]


async def verify(store: RecordStore, box: str, day: str | None) -> Proof:
    """Read what `box` sent on `day`, or ever, and recompute its chain. Raises StoreFailed."""
    forks = {fork.epoch: fork for fork in await store.forks() if fork.box == box}
    proofs = [await _verify_epoch(store, box, span, forks.get(span.epoch)) for span in await store.spans(box, day)]
    order = list(State)
    worst = max((proof.state for proof in proofs), key=order.index, default=None)
    return Proof(box, day, worst, proofs)


class _Walk:
    """Goes along the records of one epoch in order and keeps what does not fit."""

    def __init__(self, box: str, epoch: str) -> None:
        self.records = 0
        self.without_hash = 0
        self.holes: list[tuple[int, int]] = []
        self.broken_at: list[int] = []
        self.last: StoredRecord | None = None
        self._origin = first_hash(box, epoch)

    def step(self, kept: StoredRecord, *, counted: bool) -> None:
        before = self.last.seq if self.last else 0
        if kept.seq > before + 1:
            self.holes.append((before + 1, kept.seq - 1))
        elif not self._fits(kept) and len(self.broken_at) < _NAMED:
            self.broken_at.append(kept.seq)
        if counted:
            self.records += 1
            self.without_hash += kept.chain is None
        self.last = kept

    def _fits(self, kept: StoredRecord) -> bool:
        """Whether the hash of `kept` follows from the one before; what has no hash neither proves nor breaks."""
        previous = self._origin if self.last is None else self.last.chain
        if previous is None or kept.chain is None:
            return True
        return next_hash(previous, kept.seq, kept.kind, kept.body) == kept.chain


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


async def _verify_epoch(store: RecordStore, box: str, span: SequenceRange, fork: Fork | None) -> EpochProof:
    walk = _Walk(box, span.epoch)
    if span.before is not None:
        [walk.last] = await store.kept(box, span.epoch, span.before, span.before)
    head: StoredRecord | None = None
    async for kept in all_kept(store, box, span.epoch, span.first, span.last):
        walk.step(kept, counted=True)
        head = kept
    vouched = False
    if span.after is not None:
        [after] = await store.kept(box, span.epoch, span.after, span.after)
        walk.step(after, counted=False)
        vouched = span.after == span.last + 1 and after.chain is not None and span.after not in walk.broken_at
    missing = await _reasons(store, box, span.epoch, walk.holes)
    return EpochProof(
        epoch=span.epoch,
        first=span.first,
        last=span.last,
        records=walk.records,
        missing=missing,
        broken_at=walk.broken_at,
        without_hash=walk.without_hash,
        vouched=vouched,
        head=head.chain.hex() if head and head.chain else None,
        state=_state(walk, missing, fork),
        rivals=fork.records if fork else 0,
        rivals_from=fork.first if fork else None,
    )


def _state(walk: _Walk, missing: list[Missing], fork: Fork | None) -> State:
    if walk.broken_at:
        return State.BROKEN
    if fork is not None:
        return State.FORKED
    if missing:
        return State.INCOMPLETE
    return State.UNPROVEN if walk.without_hash else State.COMPLETE


async def all_kept(store: RecordStore, box: str, epoch: str, first: int, last: int) -> AsyncIterator[StoredRecord]:
    """Every record with these numbers, in order."""
    while chunk := await store.kept(box, epoch, first, last):
        for kept in chunk:
            yield kept
        first = chunk[-1].seq + 1


async def _reasons(store: RecordStore, box: str, epoch: str, holes: list[tuple[int, int]]) -> list[Missing]:
    """The holes, split where the reason changes."""
    if not holes:
        return []
    absences = await store.absences(box, epoch)
    found = [
        Missing(first, last, None) for first, last in without(holes, [(each.first, each.last) for each in absences])
    ]
    for each in absences:
        found += [Missing(first, last, each.reason) for first, last in common(holes, [(each.first, each.last)])]
    return sorted(found, key=lambda missing: missing.first)[:_NAMED]
