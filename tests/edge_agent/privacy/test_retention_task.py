"""What the box has held of people for long enough goes, and the ledger says so."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from config.settings import RetentionSettings
from edge_agent.domain.passage import Moment
from edge_agent.privacy.retention_task import RetentionTask
from sync.contract.records import Deleted
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.platform.directory.store import DirectoryStore
from tests.sync.city import BUDGET_BYTES, passage, status_of
from tests.sync.edge.test_directory import ManualClock, fetch

DAY_S = 86_400.0
DATED = passage(8)  # by a clock in sync


@pytest.mark.parametrize("in_sync", [True, False])
async def test_a_replica_goes_by_a_clock_that_is_in_sync(tmp_path: Path, in_sync: bool) -> None:
    clock = ManualClock()
    async with (
        DirectoryStore.opened(tmp_path / "source.db") as source,
        Directory.opened(tmp_path / "replica.db", now_s=clock) as directory,
        Ledger.opened(tmp_path / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as outbox,
    ):
        await source.put([status_of(index) for index in range(5)])
        await fetch(source, directory)
        await outbox.append(passage(1))
        now = Moment(datetime.now(UTC), clock.now_s, "boot", in_sync, 0.01)
        forgetting = RetentionTask(RetentionSettings(passages_days=1, directory_days=7), outbox, directory, lambda: now)
        await forgetting.forget()
        assert outbox.last_seq == 1
        clock.now_s += 7 * DAY_S
        await forgetting.forget()
        told = [record.counts for row in await outbox.recent(10) if isinstance(record := row.record(), Deleted)]
        assert told == ([{"directory": 5}] if in_sync else [])
        assert directory.cursor == (0 if in_sync else 5)


@pytest.mark.parametrize(("in_sync", "left"), [(False, 4), (True, 2)])
async def test_records_go_by_a_clock_that_is_in_sync(tmp_path: Path, in_sync: bool, left: int) -> None:
    """By a clock of 2031 that nothing confirms every record is past its time."""
    async with (
        Directory.opened(tmp_path / "replica.db") as directory,
        Ledger.opened(tmp_path / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as outbox,
    ):
        for index in range(4):
            await outbox.append(passage(index))
        await outbox.acknowledge(outbox.epoch, [(1, 4)])
        await outbox._store.run(lambda db: db.conn.execute("UPDATE record SET appended_ms = 0"))
        now = Moment(datetime.now(UTC), 0.0, "boot", in_sync, 60.0)
        await RetentionTask(RetentionSettings(), outbox, directory, lambda: now).forget()
        assert len(await outbox.recent(10)) == left  # the newest stays, and the record of the deletion


@pytest.mark.parametrize("shown_ms", [0, 10**13])
async def test_a_record_that_a_wrong_clock_dated_is_deleted_by_the_date_of_a_later_one(
    tmp_path: Path, shown_ms: int
) -> None:
    """A box started in 1970, or in 2286, and wrote two records before its clock was in sync."""
    async with (
        Directory.opened(tmp_path / "replica.db") as directory,
        Ledger.opened(tmp_path / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as outbox,
    ):
        wrong = msgspec.structs.replace(DATED.decided, in_sync=False)
        await outbox.append_all([msgspec.structs.replace(passage(index), decided=wrong) for index in range(2)])
        await outbox._store.run(lambda db: db.conn.execute("UPDATE record SET appended_ms = ?", (shown_ms,)))
        await outbox.append_all([DATED, passage(9)])
        await outbox.acknowledge(outbox.epoch, [(1, 4)])
        task = RetentionTask(
            RetentionSettings(), outbox, directory, lambda: Moment(datetime.now(UTC), 0.0, "boot", True, 0.01)
        )
        await task.forget()
        assert len(await outbox.recent(10)) == 4  # just written, whatever the clock showed
        await outbox._store.run(lambda db: db.conn.execute("UPDATE record SET appended_ms = 1 WHERE seq = 3"))
        await task.forget()
        assert [row.seq for row in await outbox.recent(10)] == [5, 4]
