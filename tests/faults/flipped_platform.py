"""The stores of the platform for `flips`: records and directory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

from sync.contract.chain import first_hash, next_hash
from sync.contract.health import Colour, HealthStatus
from sync.contract.messages import DirectoryRequest
from sync.contract.records import RecordId, encode_record
from sync.platform.directory.store import DirectoryStore
from sync.platform.records.open_store import open_store
from sync.platform.records.received import ReceivedRecord
from sync.platform.records.store_contract import StoredRecord
from sync.storage.set_aside import aside_files
from tests.faults.flips import Silent, Wrong
from tests.sync.city import mixed, status_of
from tests.sync.platform.test_platform_store import EPOCH, NOW

_COUNT = 30


def received(first: int, previous: bytes) -> list[ReceivedRecord]:
    """`_COUNT` chained records from number `first` on."""
    found = []
    for seq, record in enumerate(mixed(_COUNT, first), start=first):
        body = encode_record(record)
        previous = next_hash(previous, seq, record.TYPE, body)
        found.append(ReceivedRecord.read(RecordId("box-1", EPOCH, seq), record.TYPE, NOW, NOW, body, previous))
    return found


class RecordsStore:
    """Records of one box."""

    name = "records.db"

    async def filled(self, path: Path) -> AsyncIterator[list[StoredRecord]]:
        async with open_store(str(path)) as store:
            first = received(1, first_hash("box-1", EPOCH))
            await store.insert(first)
            truth = await store.stored("box-1", EPOCH, 1, 1000)
        yield truth
        async with open_store(str(path)) as store:
            assert first[-1].chain is not None
            await store.insert(received(1 + _COUNT, first[-1].chain))
            yield await store.stored("box-1", EPOCH, 1, 1000)

    async def check(self, path: Path, truth: list[StoredRecord]) -> None:
        async with open_store(str(path)) as store:
            await store.totals("2022-04-01", alarms=100)
            await store.forks()
            await store.spans("box-1", None)
            found = await store.stored("box-1", EPOCH, 1, 1000)
            holes = await store.holes("box-1", EPOCH, 1, len(truth))
            await store.insert(received(500, bytes(32)))
        stated = {seq for first, last in holes for seq in range(first, last + 1)}
        known = {each.seq: each for each in truth}
        for each in found:
            if known.get(each.seq) != each and _is_chained(found):
                raise Wrong("a record differs and the chain is intact")
        if known.keys() - {each.seq for each in found} - stated:
            raise Silent("records are missing and no hole is reported")


def _is_chained(found: list[StoredRecord]) -> bool:
    start = StoredRecord(0, "", first_hash("box-1", EPOCH), b"")
    return all(
        before.chain is not None and each.chain == next_hash(before.chain, each.seq, each.kind, each.body)
        for before, each in pairwise([start, *found])
    )


class SourceStore:
    """The directory of the platform."""

    name = "directory.db"

    async def filled(self, path: Path) -> AsyncIterator[dict[str, HealthStatus]]:
        for state in range(2):
            async with DirectoryStore.opened(path) as store:
                await store.put([status_of(index) for index in range(50)])
                await store.put([status_of(state, colour=Colour.RED)])
                await store.remove([status_of(40 + state).person_key])
                truth = await _statuses(store)
                if state:
                    yield truth
            if not state:
                yield truth

    async def check(self, path: Path, truth: dict[str, HealthStatus | None]) -> None:
        async with DirectoryStore.opened(path) as store:
            found = await _statuses(store)
            await store.page(DirectoryRequest("", 0))
            await store.put([status_of(99)])
            known = await store.status(status_of(1).person_key)
        if found != truth and not aside_files(path):
            raise Wrong("a status differs")
        if known != truth[status_of(1).person_key] and not aside_files(path):
            raise Wrong("a change reached another person")


async def _statuses(store: DirectoryStore) -> dict[str, HealthStatus | None]:
    keys = [status_of(index).person_key for index in range(50)]
    return {key: await store.status(key) for key in keys}
