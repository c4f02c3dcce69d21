"""The file of a ledger: hash chain, files of older versions, full disks and damaged pages."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest

from sync.contract.chain import first_hash, next_hash
from sync.contract.records import AlarmRaised, Gap
from sync.edge.ledger.disk_reserve import DiskReserve
from sync.edge.ledger.ledger import Ledger
from sync.edge.ledger.retention import Retention
from sync.edge.ledger.schema import Row
from sync.errors import StoreFull
from tests.sync.city import BUDGET_BYTES, alarm, mixed, passage

OLD = Path(__file__).parent / "data" / "ledger-0.1.db"  # written by 0.1: 30 records, 13 acknowledged, 1 parked


def is_chained(before: Row, row: Row) -> bool:
    assert before.chain is not None
    return row.chain == next_hash(before.chain, row.seq, row.kind, row.body)


async def test_every_record_continues_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    for first in (0, 7, 14):
        async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
            await ledger.append_all(mixed(5, first))
            await ledger.append(alarm(first))
            rows = (await ledger.recent(100))[::-1]
            assert all(is_chained(*pair) for pair in pairwise(rows))
            await ledger.acknowledge(ledger.epoch, [(1, ledger.last_seq)])
            await ledger.forget(Retention(-1, -1))
    assert [row.seq for row in rows] == list(range(15, 23))  # the newest row was kept for the next hash
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        last, *_ = await ledger.recent(100)
        await ledger.append(passage(1))
        assert is_chained(last, (await ledger.recent(1))[0])


async def test_the_chain_begins_with_box_and_epoch(tmp_path: Path) -> None:
    async with Ledger.opened(tmp_path / "ledger.db", box="box-7", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger.append(passage(1))
        [row] = await ledger.recent(1)
        assert row.chain == next_hash(first_hash("box-7", ledger.epoch), 1, row.kind, row.body)


@pytest.mark.parametrize("times", [1, 2])
async def test_a_ledger_of_an_older_version_is_continued(tmp_path: Path, times: int) -> None:
    path = tmp_path / "ledger.db"
    shutil.copy(OLD, path)
    for _ in range(times):
        async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
            status = await ledger.status()
            assert (status.epoch, status.last_seq, status.unacknowledged) == ("59b24c963f212462", 30, 17)
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        assert await ledger.append_all(mixed(2)) == [31, 32]
        last, first, *old = await ledger.recent(100)
        assert len(old) == 30
        assert all(row.chain is None for row in old)
        assert first.chain == next_hash(first_hash("box-1", ledger.epoch), 31, first.kind, first.body)
        assert is_chained(first, last)


def damaged(whole: bytes, kind: str) -> bytes:
    """The file with `kind` of damage; its pages have 4,096 bytes."""
    pages = len(whole) // 4096
    return {
        "header": b"\xff" * 100 + whole[100:],
        "text": b"this is not a database" * 400,
        "middle": whole[: 4096 * (pages // 2)] + bytes(4096) + whole[4096 * (pages // 2 + 1) :],
        "tail": whole[: 4096 * (pages - 3)] + b"\xa5" * 4096 * 3,
        "cut": whole[: 4096 * (pages // 2)],
    }[kind]


@pytest.mark.parametrize("kind", ["header", "text", "middle", "tail", "cut"])
async def test_a_damaged_ledger_is_set_aside_and_its_readable_records_delivered(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ledger.db"
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        numbers = await ledger.append_all(mixed(400))
        await ledger.acknowledge(ledger.epoch, [(1, 50)])
        before = ledger.epoch
        written = {row.seq: row for row in await ledger.recent(1000)}
    broken = damaged(path.read_bytes(), kind)
    path.write_bytes(broken)
    for start in range(3):
        async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
            status = await ledger.status()
            assert ledger.epoch != before
            assert (status.set_aside is not None) == (start == 0)
            pending = await ledger.earlier_unacknowledged(1000)
            added = [row.record() for row in (await ledger.recent(1000))[::-1]]
    [aside] = [file for file in tmp_path.glob("*.damaged-*") if file.name.endswith("Z")]
    assert aside.read_bytes() == broken
    assert added[0].kind == "ledger_damaged"
    assert all(row == written[row.seq] for row in pending)
    lost = set(numbers[50:]) - {row.seq for row in pending}
    if kind == "header":
        assert (lost, len(added)) == (set(), 1)
        return
    [gap] = added[1:]
    assert isinstance(gap, Gap)
    assert gap.epoch == before
    assert lost <= set(range(gap.first_seq, gap.last_seq + 1))
    assert gap.lost["unreadable"] >= len(lost)
    if kind == "text":
        assert (pending, gap.first_seq, gap.last_seq) == ([], 1, 400)
    else:
        assert 0 < len(lost) < 250


async def test_rows_of_an_earlier_epoch_are_acknowledged_and_parked_by_their_old_ids(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger.append_all(mixed(200))
        before = ledger.epoch
    path.write_bytes(damaged(path.read_bytes(), "middle"))
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        pending = [row.seq for row in await ledger.earlier_unacknowledged(1000)]
        assert await ledger.acknowledge(before, [(1, pending[9])]) == 10
        await ledger.park(before, pending[10], "platform: bad")
        status = await ledger.status()
        assert (status.earlier, status.parked) == (len(pending) - 11, 1)
        assert [row.seq for row in await ledger.earlier_unacknowledged(2)] == pending[11:13]
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        assert (await ledger.status()).earlier == len(pending) - 10


async def test_earlier_passages_are_evicted_before_those_of_this_epoch(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger.append_all(mixed(400))
        before = ledger.epoch
    path.write_bytes(damaged(path.read_bytes(), "middle"))
    async with Ledger.opened(path, box="box-1", budget_bytes=300_000) as ledger:
        await ledger.append_all(mixed(50, 1000))
        gaps = [row.record() for row in await ledger.recent(100) if row.kind == Gap.TYPE]
        assert {gap.epoch for gap in gaps if isinstance(gap, Gap)} == {before}
        left = await ledger.earlier_unacknowledged(1000)
        assert {row.kind for row in left[:20]} == {AlarmRaised.TYPE}
        assert len(await ledger.unacknowledged(False)) == 40 + len(gaps)


async def test_a_full_disk_raises_an_alarm_and_evicts_the_oldest(small_disk: Path) -> None:
    async with Ledger.opened(small_disk / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        assert (small_disk / "ledger.ballast").stat().st_size == 300_000
        for first in range(0, 6000, 20):
            await ledger.append_all(mixed(20, first))
        status = await ledger.status()
        rows = (await ledger.recent(10_000))[::-1]
        assert status.disk_full
        assert not (small_disk / "ledger.ballast").exists()
        check_nothing_is_missing(rows)
    async with Ledger.opened(small_disk / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        assert await ledger.append(passage(1)) == status.last_seq + 1


def check_nothing_is_missing(rows: list[Row]) -> None:
    """Check that every alarm exists, every passage exists or is counted in a gap, and the full disk raised an alarm."""
    records = [row.record() for row in rows]
    gaps = [record for record in records if isinstance(record, Gap)]
    alarms = [record for record in records if isinstance(record, AlarmRaised)]
    lost = sum(count for gap in gaps for count in gap.lost.values())
    assert [each.kind for each in alarms].count("disk_full") == 1
    assert lost + len(rows) == rows[-1].seq
    assert lost > 1000
    assert len(alarms) - 1 == 6000 // 5


@pytest.mark.parametrize("records", [400, 1200])
async def test_a_ledger_opens_and_appends_on_a_disk_filled_by_others(small_disk: Path, records: int) -> None:
    path = small_disk / "ledger.db"
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger.append_all(mixed(records))
        before = ledger.epoch
    fill(small_disk / "log")
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        for index in range(500):
            await ledger.append(passage(index))
        assert ledger.epoch == before
        assert (await ledger.status()).disk_full


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as log, contextlib.suppress(OSError):
        while True:
            log.write(bytes(1000))


async def alarms_until_refused(ledger: Ledger) -> int:
    for index in range(20_000):
        try:
            await ledger.append(alarm(index))
        except StoreFull:
            return index
    raise AssertionError("a disk of 2 MB took 20,000 alarms")


async def test_a_full_disk_with_only_alarms_left_rejects_appends_and_loses_none(small_disk: Path) -> None:
    async with Ledger.opened(small_disk / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        pending = await alarms_until_refused(ledger)
        alarms = await ledger.unacknowledged(True, limit=20_000)
        names = [record.alarm_id for row in alarms if isinstance(record := row.record(), AlarmRaised)]
        assert [name for name in names if name.startswith("alarm-")] == [f"alarm-{index}" for index in range(pending)]
        await ledger.acknowledge(ledger.epoch, [(1, ledger.last_seq)])
        for index in range(500):
            await ledger.append(passage(index))


async def test_a_file_that_cannot_grow_evicts_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger._store.run(lambda db: db.conn.execute("PRAGMA max_page_count = 100").fetchone())
        for index in range(0, 1500, 20):
            await ledger.append_all(mixed(20, index))
        rows = (await ledger.recent(10_000))[::-1]
        lost = sum(sum(record.lost.values()) for row in rows if isinstance(record := row.record(), Gap))
        assert lost + len(rows) == rows[-1].seq
        assert (await ledger.status()).disk_full


def test_the_disk_reserve_is_taken_if_plenty_is_free(small_disk: Path, tmp_path: Path) -> None:
    ballast = DiskReserve(small_disk / "x.ballast")
    assert not ballast.release()
    assert ballast.take()
    assert ballast.take()
    assert ballast.release()
    (small_disk / "log").write_bytes(bytes(1_500_000))
    assert not ballast.take()
    assert [file.name for file in small_disk.iterdir()] == ["log"]
    assert not DiskReserve(tmp_path / "nowhere" / "x.ballast").take()


async def test_a_read_of_the_damaged_file_does_not_change_it(tmp_path: Path) -> None:
    """The write-ahead log of a killed box is read too and still exists afterwards."""
    path = tmp_path / "ledger.db"
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger.append_all(mixed(100))
        await ledger.append(passage(1))
        for suffix in ("", "-wal"):
            shutil.copy(tmp_path / f"ledger.db{suffix}", tmp_path / f"killed.db{suffix}")
    killed = tmp_path / "killed.db"
    whole = killed.read_bytes()
    killed.write_bytes(damaged(whole, "middle"))
    with contextlib.closing(sqlite3.connect(killed)) as connection:
        hurt = connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok"
    async with Ledger.opened(killed, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        assert ((await ledger.status()).set_aside is not None) == hurt
