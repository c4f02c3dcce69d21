"""Two devices that go on as the same box, as a copied card does: their chains part, and the platform tells them apart.

The branch that came first stays in the store. From then on only what follows it by its hash joins it; all else lies
among the rivals, committed and acknowledged like any record, because either of the two may be the true box.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sync.contract.chain import first_hash, next_hash
from sync.platform.records.received import ReceivedRecord
from sync.platform.records.store_contract import StoredRecord

StreamKey = tuple[str, str]  # box, epoch
Name = tuple[str, str, int]  # box, epoch, number


class ForkDetected(Exception):
    """Rivals turned up in `streams` that nobody knew of: the batch is taken back, and begun again knowing it."""

    def __init__(self, streams: set[StreamKey]) -> None:
        super().__init__(streams)
        self.streams = streams


@dataclass(frozen=True, slots=True)
class ForkRun:
    """Records that follow each other by number and by hash; `head` is the hash of the last one."""

    first: int
    last: int
    head: str | None


def record_id(arrival: ReceivedRecord) -> Name:
    """What a store knows `arrival` by."""
    return arrival.name.box, arrival.name.epoch, arrival.name.seq


def digest(arrival: ReceivedRecord) -> bytes:
    """What tells rivals of one number apart."""
    return arrival.chain or sha256(arrival.body).digest()


def fork_row(arrival: ReceivedRecord) -> tuple[object, ...]:
    """`arrival` as stores keep a rival: name, mark, kind, times, body and hash."""
    times = (arrival.happened_ms, arrival.received_ms)
    return (*record_id(arrival), digest(arrival), arrival.kind, *times, arrival.body, arrival.chain)


def to_look_up(arrivals: Iterable[ReceivedRecord], forked: set[StreamKey]) -> set[Name]:
    """Names of the records that decide which of `arrivals` join their stream."""
    found = set()
    for box, epoch, seq in map(record_id, arrivals):
        if (box, epoch) in forked:
            found |= {(box, epoch, seq - 1), (box, epoch, seq)}
    return found


def divide(
    arrivals: Sequence[ReceivedRecord], forked: set[StreamKey], there: Mapping[Name, StoredRecord]
) -> tuple[list[ReceivedRecord], list[ReceivedRecord]]:
    """Those of `arrivals` that may join, and the rivals; `there` is what the store has of `to_look_up`."""
    joining = [each for each in arrivals if (each.name.box, each.name.epoch) not in forked]
    if len(joining) == len(arrivals):
        return joining, []
    rivals, branch = [], dict(there)
    for each in sorted(arrivals, key=record_id):
        name = record_id(each)
        if name[:2] not in forked:
            continue
        known, before = branch.get(name), _before(name, branch)
        if is_same(each, known) if known else before is not None and follows(before, each):
            joining.append(each)
            branch[name] = as_kept(each)
        else:
            rivals.append(each)
    return joining, rivals


def _before(name: Name, branch: Mapping[Name, StoredRecord]) -> StoredRecord | None:
    box, epoch, seq = name
    return StoredRecord(0, "", first_hash(box, epoch), b"") if seq == 1 else branch.get((box, epoch, seq - 1))


def check_repeats(again: Iterable[ReceivedRecord], there: Mapping[Name, StoredRecord]) -> None:
    """Raise Forked unless all of `again`, whose numbers were taken, are the records that are there."""
    rivals = [each for each in again if not is_same(each, there[record_id(each)])]
    if rivals:
        raise ForkDetected({(each.name.box, each.name.epoch) for each in rivals})


def is_same(arrival: ReceivedRecord, kept: StoredRecord) -> bool:
    """Whether both are one record; where one came without a hash, the body tells."""
    if arrival.chain is None or kept.chain is None:
        return arrival.body == kept.body
    return arrival.chain == kept.chain


def follows(before: StoredRecord, arrival: ReceivedRecord) -> bool:
    """Whether the hash of `arrival` follows from the record before; what has none neither proves nor breaks."""
    if before.chain is None or arrival.chain is None:
        return True
    return next_hash(before.chain, arrival.name.seq, arrival.kind, arrival.body) == arrival.chain


def as_kept(arrival: ReceivedRecord) -> StoredRecord:
    """`arrival` as a store gives it back."""
    return StoredRecord(arrival.name.seq, arrival.kind, arrival.chain, arrival.body)


def runs(arrivals: Iterable[ReceivedRecord]) -> list[ForkRun]:
    """`arrivals` of one epoch, in order, cut wherever a hash does not follow from the one before."""
    found: list[list[ReceivedRecord]] = []
    for each in sorted(arrivals, key=record_id):
        last = found[-1][-1] if found else None
        if last is not None and last.name.seq == each.name.seq and last.chain == each.chain:
            continue
        if last is not None and last.name.seq + 1 == each.name.seq and follows(as_kept(last), each):
            found[-1].append(each)
        else:
            found.append([each])
    return [ForkRun(run[0].name.seq, run[-1].name.seq, run[-1].chain.hex() if run[-1].chain else None) for run in found]
