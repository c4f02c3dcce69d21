"""Data past their retention time are erased from the disk, other data stay, and the deletion is recorded."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sync.contract.health import Freshness
from sync.contract.records import AlarmRaised, Deleted, PassageClosed, PassageDecided
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.edge.ledger.retention import Retention
from sync.platform.directory.store import DirectoryStore
from tests.sync.city import BUDGET_BYTES, alarm, clock, closing, mixed, passage, status_of
from tests.sync.edge.test_directory import ManualClock, fetch, known
from tests.sync.edge.test_ledger_history import damaged
from tests.sync.storage.test_encryption import on_the_disk

NOW, NEVER = -1.0, 1e9
DAY_S = 86_400.0


async def accounts(ledger: Ledger) -> list[dict[str, int]]:
    """Counts of the recorded deletions, oldest first."""
    records = [row.record() for row in reversed(await ledger.recent(10_000))]
    return [record.counts for record in records if isinstance(record, Deleted)]


async def test_passages_and_alarms_have_their_own_retention(tmp_path: Path) -> None:
    async with Ledger.opened(tmp_path / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger.append_all([passage(1), closing(1), alarm(1), passage(2), passage(3)])
        await ledger.acknowledge(ledger.epoch, [(1, 4)])
        await ledger.forget(Retention(passages_s=NOW, alarms_s=NEVER))
        assert [row.seq for row in await ledger.recent(100)] == [6, 5, 3]
        assert await accounts(ledger) == [{PassageDecided.TYPE: 2, PassageClosed.TYPE: 1}]
        assert ledger.last_seq == 6
        assert [row.seq for row in await ledger.unacknowledged(False)] == [5, 6]
        await ledger.forget(Retention(NEVER, NEVER))
        assert await ledger.append(passage(4)) == 7


async def test_unacknowledged_records_stay_at_any_age(tmp_path: Path) -> None:
    async with Ledger.opened(tmp_path / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger.append_all(mixed(10))
        await ledger.park(ledger.epoch, 3, "refused")
        await ledger.forget(Retention(NOW, NOW))
        assert (len(await ledger.recent(100)), await accounts(ledger)) == (10, [])


async def test_deleting_records_of_deletions_creates_no_new_ones(tmp_path: Path) -> None:
    async with Ledger.opened(tmp_path / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES, clock=clock) as ledger:
        await ledger.append_all([alarm(1), alarm(2)])
        for _ in range(4):
            await ledger.acknowledge(ledger.epoch, [(1, ledger.last_seq)])
            await ledger.forget(Retention(NOW, NOW))
        assert [row.record().counts for row in await ledger.recent(100)] == [{AlarmRaised.TYPE: 1}]  # type: ignore[union-attr]
        assert ledger.last_seq == 4


async def test_deleted_records_leave_no_bytes_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger.append_all([passage(index) for index in range(2000)])
        await ledger.acknowledge(ledger.epoch, [(1, 1990)])
        assert b'"passage-1500"' in on_the_disk(path)
        await ledger.forget(Retention(NOW, NOW))
        left = on_the_disk(path)
        assert [index for index in range(2000) if b'"passage-%d"' % index in left] == list(range(1990, 2000))
        assert sum(sum(counts.values()) for counts in await accounts(ledger)) == 1990


async def test_evicting_acknowledged_rows_is_recorded_too(tmp_path: Path) -> None:
    async with Ledger.opened(tmp_path / "ledger.db", box="box-1", budget_bytes=300_000) as ledger:
        for first in range(0, 2000, 50):
            await ledger.append_all(mixed(50, first))
            await ledger.acknowledge(ledger.epoch, [(1, ledger.last_seq)])
        records = [row.record() for row in await ledger.recent(10_000)]
        deletions = [record for record in records if isinstance(record, Deleted)]
        assert deletions
        assert {record.why for record in deletions} == {"room"}


async def test_a_recovered_damaged_file_is_deleted_after_its_retention(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger.append_all(mixed(400))
    path.write_bytes(damaged(path.read_bytes(), "middle"))
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger.forget(Retention(DAY_S, DAY_S))
        [aside] = [file for file in tmp_path.glob("*.damaged-*") if file.name.endswith("Z")]
        os.utime(aside, (time.time() - 2 * DAY_S,) * 2)
        await ledger.forget(Retention(DAY_S, DAY_S))
        assert not list(tmp_path.glob("*.damaged-*"))
        assert await accounts(ledger) == [{"ledger_damaged": 1}]


async def test_an_unconfirmed_replica_is_emptied(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "replica.db"
    async with DirectoryStore.opened(tmp_path / "source.db") as source:
        await source.put([status_of(index) for index in range(300)])
        async with Directory.opened(path, now_s=clock) as directory:
            assert await directory.forget(DAY_S) == 0
            await fetch(source, directory)
            clock.now_s += DAY_S - 1
            assert await directory.forget(DAY_S) == 0
            assert await known(directory, 7) is not None
            clock.now_s += 1
            assert await directory.forget(DAY_S) == 300
            assert await known(directory, 7) is None
            assert directory.freshness()[0] is Freshness.EXPIRED
            assert status_of(7).person_key.encode() not in on_the_disk(path)
            assert await directory.forget(DAY_S) == 0
            await fetch(source, directory)
            assert await known(directory, 7) == status_of(7)
