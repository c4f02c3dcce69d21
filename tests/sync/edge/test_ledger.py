"""The ledger keeps every committed record with gap-free numbers when the process is killed or the disk is full."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sync.contract.records import AlarmRaised, Gap, Record
from sync.edge.ledger.ledger import Ledger
from sync.errors import StoreFailed
from tests.sync.city import BUDGET_BYTES, alarm, clock, mixed, passage


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with Ledger.opened(tmp_path / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as opened:
        yield opened


async def test_numbers_are_consecutive(ledger: Ledger) -> None:
    assert await ledger.append(passage(1)) == 1
    assert await ledger.append_all([passage(2), alarm(3)]) == [2, 3]
    assert await ledger.append_all([]) == []
    assert ledger.last_seq == 3
    waiting = await ledger.unacknowledged(alarms=False)
    assert [(row.seq, row.record()) for row in waiting] == [(1, passage(1)), (2, passage(2))]
    assert [row.record() for row in await ledger.unacknowledged(alarms=True)] == [alarm(3)]
    assert [row.seq for row in await ledger.unacknowledged(False, after_seq=1)] == [2]
    assert [row.seq for row in await ledger.newest_unacknowledged(1)] == [2]
    assert await ledger.newest_unacknowledged(1, after_seq=2) == []
    assert [row.seq for row in await ledger.recent(2)] == [3, 2]


async def test_concurrent_appends_are_committed_together(ledger: Ledger) -> None:
    numbers = await asyncio.gather(*(ledger.append(passage(index)) for index in range(50)))
    assert sorted(numbers) == list(range(1, 51))
    assert [row.record() for row in await ledger.unacknowledged(False)] == [
        passage(index) for index, _ in sorted(enumerate(numbers), key=lambda pair: pair[1])
    ]


async def test_a_cancelled_append_does_not_disturb_the_others(ledger: Ledger) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ledger.append(passage(index))) for index in range(10)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[5].cancel()
    kept = [task.result() for task in tasks if not task.cancelled()]
    assert len(kept) == len(set(kept)) == 8
    rows = await ledger.unacknowledged(False)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert set(kept) <= {row.seq for row in rows}


async def test_acknowledged_rows_are_not_pending_and_stay_stored(ledger: Ledger) -> None:
    await ledger.append_all(mixed(10))
    assert await ledger.acknowledge(ledger.epoch, [(2, 4), (9, 9)]) == 4
    assert await ledger.acknowledge(ledger.epoch, [(1, 4), (500, 900)]) == 1
    assert await ledger.acknowledge("0" * 16, [(1, 10)]) == 0
    status = await ledger.status()
    assert (status.unacknowledged, status.last_seq, len(await ledger.recent(100))) == (5, 10, 10)


async def test_an_acknowledgement_for_a_clone_is_ignored(ledger: Ledger) -> None:
    """The platform identifies committed records by their hash, because a clone may use the same numbers."""
    await ledger.append_all(mixed(6))
    rows = (await ledger.recent(6))[::-1]
    foreign = "0" * 64
    assert await ledger.acknowledge(ledger.epoch, [(1, 2), (3, 4)], [foreign, foreign]) == 0
    assert await ledger.acknowledge(ledger.epoch, [(1, 2), (3, 4)], [rows[1].chain_hex, foreign]) == 2
    assert await ledger.acknowledge(ledger.epoch, [(3, 4)], [None]) == 2
    assert await ledger.acknowledge(ledger.epoch, [(5, 9)], [foreign]) == 0  # the copy is ahead of us
    assert await ledger.acknowledge(ledger.epoch, [(5, 6)], [rows[5].chain_hex]) == 2


async def test_parked_rows_are_counted_and_tried_again_after_a_restart(tmp_path: Path) -> None:
    async with Ledger.opened(tmp_path / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger.append_all(mixed(3))
        await ledger.park(ledger.epoch, 2, "broker: Not authorized (0x87)")
        status = await ledger.status()
        assert (status.unacknowledged, status.parked) == (2, 1)
        assert [row.seq for row in await ledger.unacknowledged(False)] == [1, 3]
    async with Ledger.opened(tmp_path / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        status = await ledger.status()
        assert (status.unacknowledged, status.parked) == (3, 0)


async def test_every_change_notifies_subscribers(ledger: Ledger) -> None:
    changed = asyncio.Event()
    with ledger.changes.subscribe(changed):
        for change in (
            ledger.append(passage(1)),
            ledger.acknowledge(ledger.epoch, [(1, 1)]),
            ledger.park(ledger.epoch, 1, "why"),
        ):
            await change
            assert changed.is_set()
            changed.clear()
    await ledger.append(passage(2))
    assert not changed.is_set()


async def test_a_full_ledger_evicts_acknowledged_rows_then_passages_and_never_alarms(tmp_path: Path) -> None:
    async with Ledger.opened(
        tmp_path / "ledger.db", box="box-1", budget_bytes=400_000, clock=lambda: clock(7)
    ) as ledger:
        await ledger.append_all(mixed(200))
        await ledger.acknowledge(ledger.epoch, [(1, 100)])
        for first in range(200, 1000, 20):
            await ledger.append_all(mixed(20, first))
        status = await ledger.status()
        assert status.used_bytes <= 400_000
        rows = await ledger.recent(10_000)
        records = [row.record() for row in rows]
        gaps = [record for record in records if isinstance(record, Gap)]
        kept_alarms = {record.alarm_id for record in records if isinstance(record, AlarmRaised)}
        assert {f"alarm-{index}" for index in range(104, 1000, 5)} <= kept_alarms
        assert min(row.seq for row in rows if row.record() not in gaps) > 100
        # Every number is a row, was acknowledged, or is counted in a gap.
        lost = sum(count for gap in gaps for count in gap.lost.values())
        assert lost + len(rows) == status.last_seq - 100
        covered = {seq for gap in gaps for seq in range(gap.first_seq, gap.last_seq + 1)}
        assert set(range(101, status.last_seq + 1)) <= covered | {row.seq for row in rows}
        assert all(gap.noted == clock(7) for gap in gaps)
        assert 0 < len(gaps) < 20


async def test_only_alarms_overrun_the_budget(tmp_path: Path) -> None:
    async with Ledger.opened(tmp_path / "ledger.db", box="box-1", budget_bytes=60_000) as ledger:
        for first in range(0, 1000, 50):
            await ledger.append_all([alarm(index) for index in range(first, first + 50)])
        status = await ledger.status()
        assert (status.unacknowledged, status.used_bytes > 60_000) == (1000, True)


async def test_an_unusable_path_is_not_treated_as_damage(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises(StoreFailed):
        async with Ledger.opened(tmp_path / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES):
            pass


WRITER = """
import asyncio, sys
from pathlib import Path
from sync.edge.ledger.ledger import Ledger
from tests.sync.city import passage

async def write() -> None:
    async with Ledger.opened(Path(sys.argv[1]), box="box-1", budget_bytes=50_000_000) as ledger:
        print(ledger.epoch, flush=True)
        async def forever(writer: int) -> None:
            while True:
                print(await ledger.append(passage(writer)), flush=True)
        async with asyncio.TaskGroup() as group:
            for writer in range(3):
                group.create_task(forever(writer))

asyncio.run(write())
"""


async def test_every_append_that_returned_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    returned: list[int] = []
    epochs = set()
    for enough in (40, 120, 7):
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, str(path), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
        )
        assert writer.stdout is not None
        epochs.add(await writer.stdout.readline())
        returned += [int(await writer.stdout.readline()) for _ in range(enough)]
        os.kill(writer.pid, signal.SIGKILL)
        returned += [int(line) for line in (await writer.stdout.read()).split(b"\n")[:-1]]
        await writer.wait()
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        stored = [row.seq for row in await ledger.recent(100_000)][::-1]
    assert len(epochs) == 1
    assert len(returned) == len(set(returned)) >= 167
    assert stored == list(range(1, len(stored) + 1))
    assert set(returned) <= set(stored)


class LedgerHistory(RuleBasedStateMachine):
    """Appends, acknowledgements, parkings and restarts in any order, compared with a model of three sets."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.appended: dict[int, Record] = {}
        self.freed: set[int] = set()
        self.parked: set[int] = set()
        self.open()
        self.epoch = self.ledger.epoch

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def open(self) -> None:
        path = Path(self.folder.name) / "ledger.db"
        self.ledger = self.run(
            self.stack.enter_async_context(Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES))
        )

    @rule(count=st.integers(1, 6))
    def append(self, count: int) -> None:
        records = mixed(count, len(self.appended))
        numbers = self.run(self.ledger.append_all(records))
        assert numbers == list(range(len(self.appended) + 1, len(self.appended) + count + 1))
        self.appended.update(zip(numbers, records, strict=True))

    @precondition(lambda self: self.appended)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        first = data.draw(st.integers(1, len(self.appended)))
        last = data.draw(st.integers(first, len(self.appended) + 2))
        new = set(range(first, last + 1)) & self.appended.keys() - self.freed
        assert self.run(self.ledger.acknowledge(self.epoch, [(first, last)])) == len(new)
        self.freed |= new
        self.parked -= new

    @precondition(lambda self: self.appended)
    @rule(data=st.data())
    def park(self, data: st.DataObject) -> None:
        seq = data.draw(st.integers(1, len(self.appended)))
        self.run(self.ledger.park(self.epoch, seq, "refused"))
        if seq not in self.freed:
            self.parked.add(seq)

    @rule()
    def restart(self) -> None:
        self.run(self.stack.aclose())
        self.open()
        self.parked.clear()
        assert self.ledger.epoch == self.epoch

    @invariant()
    def what_waits_is_what_was_not_freed(self) -> None:
        alarms = self.run(self.ledger.unacknowledged(True, limit=10_000))
        others = self.run(self.ledger.unacknowledged(False, limit=10_000))
        expected = self.appended.keys() - self.freed - self.parked
        assert {row.seq for row in (*alarms, *others)} == expected
        assert all(row.record() == self.appended[row.seq] for row in (*alarms, *others))
        status = self.run(self.ledger.status())
        assert (status.unacknowledged, status.parked) == (len(expected), len(self.parked))
        assert status.last_seq == len(self.appended)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()


LedgerHistory.TestCase.settings = settings(max_examples=12, stateful_step_count=20)
TestLedgerHistory = LedgerHistory.TestCase
