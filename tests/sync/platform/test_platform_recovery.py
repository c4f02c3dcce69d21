"""A platform that lost records, boxes that send them again, and several ingest processes; on both stores."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import asyncpg

from sync.platform.records.open_store import open_store
from sync.platform.records.received import today
from sync.platform.records.verification import State, verify
from sync.platform.service import IngestProcess, ServiceSettings
from tests.sync.city import QUICK, Mosquitto, a_box, a_platform, eventually, link_settings, mixed, running


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
        a_box(tmp_path / "box", link_settings(broker.url)) as box,
        open_store(records) as store,
    ):
        for record in mixed(30):
            await box.ledger.append(record)
        await eventually(box.all_acknowledged)
        await lose(records, 1, 7, 8, 20)
        assert (await verify(store, "box-1", None)).state is State.INCOMPLETE

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
        a_box(tmp_path / "box-1", link_settings(broker.url)) as first,
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
            assert (await verify(store, "box-1", None)).state is State.COMPLETE
