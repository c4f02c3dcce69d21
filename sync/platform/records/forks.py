"""Detects forks: two devices that write as the same box after a card was copied, so that their hash chains differ.

The chain that was received first stays in the stream. After that, a record is added to the stream only if its hash
follows; every other record is stored as a forked record. Forked records are committed and acknowledged like any record,
because either device may be the true box.
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
    """Forks were detected in `streams`: the batch is rolled back and repeated with these streams marked as forked."""

    def __init__(self, streams: set[StreamKey]) -> None:
        super().__init__(streams)
        self.streams = streams


@dataclass(frozen=True, slots=True)
class ChainRun:
    """Consecutive records whose hashes match; `head` is the hash of the last one."""

    first: int
    last: int
    head: str | None


def record_id(record: ReceivedRecord) -> Name:
    """The key of `record` in a store."""
    return record.name.box, record.name.epoch, record.name.seq


def digest(record: ReceivedRecord) -> bytes:
    """Distinguishes forked records with the same number."""
    return record.chain or sha256(record.body).digest()


def fork_row(record: ReceivedRecord) -> tuple[object, ...]:
    """The row of a forked record: name, digest, kind, times, body and hash."""
    times = (record.happened_ms, record.received_ms)
    return (*record_id(record), digest(record), record.kind, *times, record.body, record.chain)


def to_look_up(records: Iterable[ReceivedRecord], forked_streams: set[StreamKey]) -> set[Name]:
    """Names of the stored records that `split_forks` needs."""
    found = set()
    for box, epoch, seq in map(record_id, records):
        if (box, epoch) in forked_streams:
            found |= {(box, epoch, seq - 1), (box, epoch, seq)}
    return found


def split_forks(
    records: Sequence[ReceivedRecord], forked_streams: set[StreamKey], there: Mapping[Name, StoredRecord]
) -> tuple[list[ReceivedRecord], list[ReceivedRecord]]:
    """`records` that belong to their stream, and forked records; `there` is what the store has of `to_look_up`."""
    accepted = [each for each in records if (each.name.box, each.name.epoch) not in forked_streams]
    if len(accepted) == len(records):
        return accepted, []
    forked_records, chain = [], dict(there)
    for each in sorted(records, key=record_id):
        name = record_id(each)
        if name[:2] not in forked_streams:
            continue
        known, before = chain.get(name), _before(name, chain)
        if is_same(each, known) if known else before is not None and follows(before, each):
            accepted.append(each)
            chain[name] = to_stored(each)
        else:
            forked_records.append(each)
    return accepted, forked_records


def _before(name: Name, chain: Mapping[Name, StoredRecord]) -> StoredRecord | None:
    box, epoch, seq = name
    return StoredRecord(0, "", first_hash(box, epoch), b"") if seq == 1 else chain.get((box, epoch, seq - 1))


def check_same(again: Iterable[ReceivedRecord], there: Mapping[Name, StoredRecord]) -> None:
    """Raise ForkDetected unless each of `again`, whose numbers are stored already, is the stored record."""
    forked_records = [each for each in again if not is_same(each, there[record_id(each)])]
    if forked_records:
        raise ForkDetected({(each.name.box, each.name.epoch) for each in forked_records})


def is_same(record: ReceivedRecord, stored: StoredRecord) -> bool:
    """Whether both are the same record, by hash, or by body if one has no hash."""
    if record.chain is None or stored.chain is None:
        return record.body == stored.body
    return record.chain == stored.chain


def follows(before: StoredRecord, record: ReceivedRecord) -> bool:
    """Whether the hash of `record` follows from the record before; True if one has no hash."""
    if before.chain is None or record.chain is None:
        return True
    return next_hash(before.chain, record.name.seq, record.kind, record.body) == record.chain


def to_stored(record: ReceivedRecord) -> StoredRecord:
    """`record` as a store returns it."""
    return StoredRecord(record.name.seq, record.kind, record.chain, record.body)


def runs(records: Iterable[ReceivedRecord]) -> list[ChainRun]:
    """`records` of one epoch in order, split where a number is missing or a hash does not follow."""
    found: list[list[ReceivedRecord]] = []
    for each in sorted(records, key=record_id):
        last = found[-1][-1] if found else None
        if last is not None and last.name.seq == each.name.seq and last.chain == each.chain:
            continue
        if last is not None and last.name.seq + 1 == each.name.seq and follows(to_stored(last), each):
            found[-1].append(each)
        else:
            found.append([each])
    return [
        ChainRun(run[0].name.seq, run[-1].name.seq, run[-1].chain.hex() if run[-1].chain else None) for run in found
    ]
