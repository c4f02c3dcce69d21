"""Verifies that the records of one box are complete and unaltered; reports what is missing or altered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum

import msgspec

from sync.contract.chain import first_hash, next_hash
from sync.platform.records.gaps import common, without
from sync.platform.records.store_contract import Fork, RecordStore, SequenceRange, StoredRecord

_NAMED = 100  # most places listed in a report


class State(StrEnum):
    """Result of a verification, from best to worst."""

    COMPLETE = "complete"  # every number is stored and every hash matches
    UNPROVEN = "unproven"  # every number is stored, some without a hash
    INCOMPLETE = "incomplete"  # numbers are missing
    FORKED = "forked"  # two devices wrote as this box; the records do not show which is the true one
    BROKEN = "broken"  # a hash does not match: a record was altered, added or replaced


class Missing(msgspec.Struct, frozen=True):
    """Numbers `first` to `last` are not stored; `reason` None: unknown."""

    first: int
    last: int
    reason: str | None


class EpochProof(msgspec.Struct, frozen=True):
    """Verification of the numbers `first` to `last` of one epoch.

    `head` is the hash of the last record; keep it to detect later changes of the records up to it. A later record that
    continues from this hash confirms the end of the chain: no record between them was removed.
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
        """The result as lines of text."""
        lines = [f"  epoch {self.epoch}: {self.records} records, numbers {self.first} to {self.last}: {self.state}"]
        lines += [
            f"    hash of {seq} does not match: this record or the one before was altered" for seq in self.broken_at
        ]
        lines += [
            f"    missing {_range(each.first, each.last)}: {each.reason or 'reason unknown'}" for each in self.missing
        ]
        if self.rivals:
            lines.append(
                f"    {self.rivals} records of a second device, from number {self.rivals_from} on, are stored apart:"
                " was the card of this box copied?"
            )
        if self.without_hash:
            lines.append(f"    {self.without_hash} records have no hash")
        if not self.vouched:
            head = self.head or "none"
            lines.append(f"    end of chain not yet confirmed by a later record; keep its hash: {head}")
        return lines


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
    forks = {fork.epoch: fork for fork in await store.forks() if fork.box == box}
    proofs = [await _verify_epoch(store, box, span, forks.get(span.epoch)) for span in await store.spans(box, day)]
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

    def _matches(self, record: StoredRecord) -> bool:
        """Whether the hash of `record` follows from the one before; True if one has no hash."""
        previous = self._origin if self.last is None else self.last.chain
        if previous is None or record.chain is None:
            return True
        return next_hash(previous, record.seq, record.kind, record.body) == record.chain


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


async def _verify_epoch(store: RecordStore, box: str, span: SequenceRange, fork: Fork | None) -> EpochProof:
    verifier = ChainVerifier(box, span.epoch)
    if span.before is not None:
        [verifier.last] = await store.stored(box, span.epoch, span.before, span.before)
    head: StoredRecord | None = None
    async for record in all_stored(store, box, span.epoch, span.first, span.last):
        verifier.add(record, counted=True)
        head = record
    vouched = False
    if span.after is not None:
        [after] = await store.stored(box, span.epoch, span.after, span.after)
        verifier.add(after, counted=False)
        vouched = span.after == span.last + 1 and after.chain is not None and span.after not in verifier.broken_at
    missing = await _reasons(store, box, span.epoch, verifier.holes)
    return EpochProof(
        epoch=span.epoch,
        first=span.first,
        last=span.last,
        records=verifier.records,
        missing=missing,
        broken_at=verifier.broken_at,
        without_hash=verifier.without_hash,
        vouched=vouched,
        head=head.chain.hex() if head and head.chain else None,
        state=_state(verifier, missing, fork),
        rivals=fork.records if fork else 0,
        rivals_from=fork.first if fork else None,
    )


def _state(verifier: ChainVerifier, missing: list[Missing], fork: Fork | None) -> State:
    if verifier.broken_at:
        return State.BROKEN
    if fork is not None:
        return State.FORKED
    if missing:
        return State.INCOMPLETE
    return State.UNPROVEN if verifier.without_hash else State.COMPLETE


async def all_stored(store: RecordStore, box: str, epoch: str, first: int, last: int) -> AsyncIterator[StoredRecord]:
    """Every stored record with these numbers, in order."""
    while chunk := await store.stored(box, epoch, first, last):
        for record in chunk:
            yield record
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
