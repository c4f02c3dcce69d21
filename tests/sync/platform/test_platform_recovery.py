"""A platform that lost records, boxes that send them again, and several ingest processes; on both stores."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import asyncpg
import pytest

from sync.contract.records import Gap
from sync.edge.ledger.ledger import Ledger
from sync.edge.ledger.recovery import start_new_epoch
from sync.platform.records.open_store import open_store
from sync.platform.records.received import today
from sync.platform.records.verification import State, verify
from sync.platform.service import IngestProcess, ServiceSettings
from sync.storage.set_aside import drop_aside
from tests.sync.city import BUDGET_BYTES, QUICK, Mosquitto, a_box, a_platform, eventually, link_settings, mixed, running


async def lose(records: str, *numbers: int) -> None:
    """Take records out of the store, as a restored backup would."""
    chosen = ", ".join(str(number) for number in numbers)
    statements = (f"DELETE FROM record WHERE seq IN ({chosen})", "UPDATE stream SET settled = 0")  # noqa: S608
    if records.startswith("postgresql"):
        server = await asyncpg.connect(records)
        for statement in statements:
            await server.execute(statement)
        await server.close()
    else:
        with sqlite3.connect(records) as database:
            for statement in statements:
                database.execute(statement)
        database.close()


async def test_boxes_send_lost_records_again(tmp_path: Path, records: str, broker: Mosquitto) -> None:
    async with (
        a_platform(tmp_path / "platform", broker.url, store=records, gap_interval_s=0.05),
        a_box(tmp_path / "box", link_settings(broker.url, health_s=0.1)) as box,
        open_store(records) as store,
    ):
        for record in mixed(30):
            await box.ledger.append(record)
        await eventually(box.all_acknowledged)
        await lose(records, 1, 7, 8, 20)
        assert (await verify(store, "box-1", None)).state is not State.COMPLETE  # the box may be sending again already

        async def whole() -> bool:
            return (await verify(store, "box-1", None)).state is State.COMPLETE

        await eventually(whole)  # asked for again
        await eventually(box.all_acknowledged)


async def test_several_processes_share_the_ingest(tmp_path: Path, records: str, broker: Mosquitto) -> None:
    settings = ServiceSettings(broker=broker.url, district="demo", data=tmp_path, store=records, retry=QUICK)
    async with (
        a_platform(tmp_path / "platform", broker.url, store=records),
        running(IngestProcess(settings).run()),
        running(IngestProcess(settings).run()) as dying,
        a_box(tmp_path / "box-1", link_settings(broker.url, health_s=0.1)) as first,
        a_box(tmp_path / "box-2", link_settings(broker.url, "box-2")) as second,
    ):
        for place, record in enumerate(mixed(60)):
            await asyncio.gather(first.ledger.append(record), second.ledger.append(record))
            if place == 30:
                dying.cancel()
        await eventually(first.all_acknowledged)
        await eventually(second.all_acknowledged)
        async with open_store(records) as store:
            totals = await store.totals(today(), 1)
            assert {box: count for box, (count, _) in totals.boxes.items()} == {"box-1": 60, "box-2": 60}
            assert totals.duplicates == 0

            async def complete() -> bool:
                return (await verify(store, "box-1", None)).state is State.COMPLETE

            await eventually(complete)


async def restored(records: Path, copy: Path) -> None:
    """Put the copy of a store in place of it."""
    for suffix in ("-wal", "-shm"):
        records.with_name(records.name + suffix).unlink(missing_ok=True)
    copy.replace(records)


def copied(records: Path, copy: Path) -> None:
    with sqlite3.connect(records) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()


async def state_of(records: Path) -> str:
    async with open_store(str(records), reading=True) as store:
        return str((await verify(store, "box-1", None)).state)


@pytest.mark.parametrize("renewed", [False, True])
async def test_a_platform_restored_from_an_old_copy_gets_what_an_idle_box_delivered(
    tmp_path: Path, broker: Mosquitto, renewed: bool
) -> None:
    """Records 21 to 50 are gone with the restored copy; the box is idle, or has renewed its ledger since."""
    records, copy, home = tmp_path / "platform" / "records.db", tmp_path / "copy.db", tmp_path / "box"
    settings = link_settings(broker.url, health_s=0.1)
    async with a_platform(tmp_path / "platform", broker.url), a_box(home, settings) as box:
        await box.ledger.append_all(mixed(20))
        await eventually(box.all_acknowledged)
        await asyncio.to_thread(copied, records, copy)
        await box.ledger.append_all(mixed(30, first=20))
        await eventually(box.all_acknowledged)
        epoch = box.ledger.epoch
    if renewed:
        start_new_epoch(home / "ledger.db")
    await restored(records, copy)
    assert await state_of(records) != "complete"
    async with a_platform(tmp_path / "platform", broker.url, gap_interval_s=0.05), a_box(home, settings):

        async def complete() -> bool:
            return await state_of(records) == "complete"

        await eventually(complete)
    async with open_store(str(records), reading=True) as store:
        assert [each.seq for each in await store.stored("box-1", epoch, 1, 99)] == list(range(1, 51))


@pytest.mark.parametrize("renewed", [False, True])
async def test_a_box_says_which_records_it_no_longer_has(tmp_path: Path, broker: Mosquitto, renewed: bool) -> None:
    """After the restore the box has deleted records 11 to 40, or the whole file of its earlier epoch."""
    records, copy, home = tmp_path / "platform" / "records.db", tmp_path / "copy.db", tmp_path / "box"
    settings = link_settings(broker.url, health_s=0.1)
    async with a_platform(tmp_path / "platform", broker.url), a_box(home, settings) as box:
        await box.ledger.append_all(mixed(10))
        await eventually(box.all_acknowledged)
        await asyncio.to_thread(copied, records, copy)
        await box.ledger.append_all(mixed(40, first=10))
        await eventually(box.all_acknowledged)
        epoch = box.ledger.epoch
        await box.ledger._store.run(
            lambda db: db.conn.execute("DELETE FROM record WHERE seq BETWEEN 11 AND 40 AND acknowledged_ms > 0")
        )
    await restored(records, copy)
    if renewed:
        aside = start_new_epoch(home / "ledger.db")
        async with Ledger.opened(home / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
            assert [end.epoch for end in await ledger.ends()] == [ledger.epoch, epoch]
        drop_aside(aside)
    # What the new epoch's start missed in the file it reports itself; the platform asks for the rest.
    gone = [(11, 40, "unreadable"), (41, 50, "no_longer_stored")] if renewed else [(11, 40, "no_longer_stored")]
    async with a_platform(tmp_path / "platform", broker.url, gap_interval_s=0.05), a_box(home, settings) as box:

        async def explained() -> bool:
            async with open_store(str(records), reading=True) as store:
                found = (await verify(store, "box-1", None)).epochs
            return [(each.first, each.last, each.why.value) for proof in found for each in proof.missing] == [
                (first, last, "lost") for first, last, _ in gone
            ]

        await eventually(explained)
        gaps = [record for row in await box.ledger.recent(99) if isinstance(record := row.record(), Gap)]
        assert sorted((gap.first_seq, gap.last_seq, gap.lost) for gap in gaps) == [
            (first, last, {why: last - first + 1}) for first, last, why in gone
        ]
        assert {gap.epoch for gap in gaps} == {epoch if renewed else None}


async def test_verify_says_what_waits_on_a_box_that_is_offline(tmp_path: Path, broker: Mosquitto) -> None:
    records, home = tmp_path / "platform" / "records.db", tmp_path / "box"
    settings = link_settings(broker.url, health_s=0.1)
    async with a_platform(tmp_path / "platform", broker.url), a_box(home, settings) as box:
        await box.ledger.append_all(mixed(10))
        await eventually(box.all_acknowledged)
        async with open_store(str(records)) as store:

            async def complete() -> bool:
                return (await verify(store, "box-1", None)).state is State.COMPLETE

            await eventually(complete)
            ends = [end for end in await box.ledger.ends() if end.last_seq]
            assert [(end.last_seq, end.waiting) for end in ends] == [(10, ())]
    async with Ledger.opened(home / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger.append_all(mixed(5, first=10))
        await ledger.park(ledger.epoch, 12, "for a test")
        [end] = await ledger.ends()
        assert (end.last_seq, end.waiting) == (15, ((11, 15),))
