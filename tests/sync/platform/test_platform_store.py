"""The contract of the record store, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from sync.contract.records import LARGEST, Gap, RecordId, encode_record
from sync.errors import BadMessage, StoreFailed
from sync.platform.records.open_store import open_store
from sync.platform.records.received import AbsentRange, ReceivedRecord, to_ms
from sync.platform.records.sqlite_store import SqliteStore
from sync.platform.records.store_contract import Stream
from tests.sync.city import alarm, clock, mixed, passage
from tests.sync.postgresql import Cluster

EPOCH = "0123456789abcdef"
NOW = datetime(2022, 4, 1, 8, 0, tzinfo=UTC)
NOW_MS = to_ms(NOW)


def arrivals(count: int, box: str = "box-1", first: int = 0) -> list[ReceivedRecord]:
    """`count` records of `box`, numbered from `first` + 1."""
    return [
        ReceivedRecord.read(RecordId(box, EPOCH, first + seq), record.TYPE, NOW, NOW, encode_record(record), bytes(32))
        for seq, record in enumerate(mixed(count, first), start=1)
    ]


TODAY = arrivals(1)[0].day


def gap(seq: int, first: int, last: int, epoch: str | None = None) -> ReceivedRecord:
    lost = {"sentinel.passage.decided": last - first + 1}
    record = Gap(noted=clock(), lost=lost, first_seq=first, last_seq=last, epoch=epoch)
    return ReceivedRecord.read(RecordId("box-1", EPOCH, seq), Gap.TYPE, NOW, NOW, encode_record(record))


async def test_a_repeated_record_is_stored_once(records: str) -> None:
    async with open_store(records) as store:
        assert await store.insert(arrivals(10)) == 10
        assert await store.insert([*arrivals(15), *arrivals(3)]) == 5
        assert await store.insert([]) == 0
    async with open_store(records) as store:
        totals = await store.totals(TODAY, alarms=10)
        assert (sum(totals.kinds.values()), totals.redelivered, totals.duplicates) == (15, 13, 0)
        assert totals.boxes["box-1"][0] == 15
        assert abs(totals.boxes["box-1"][1] - NOW) < timedelta(milliseconds=2)
        assert totals.verdicts_today == {"box-1": {"admit": 6}}
        assert totals.reasons == {"admit": {"green_code": 6}}
        assert len(totals.alarms) == 3
        assert (await store.totals("1970-01-01", alarms=1)).verdicts_today == {}


async def test_the_newest_alarms_come_first(records: str) -> None:
    async with open_store(records) as store:
        for seq in (1, 2, 3):
            happened = NOW + timedelta(seconds=seq)
            body = encode_record(alarm(seq))
            await store.insert(
                [ReceivedRecord.read(RecordId("box-1", EPOCH, seq), alarm(seq).TYPE, happened, NOW, body)]
            )
        totals = await store.totals(TODAY, alarms=2)
        assert [(each.box, each.alarm.alarm_id) for each in totals.alarms] == [
            ("box-1", "alarm-3"),
            ("box-1", "alarm-2"),
        ]


async def test_one_passage_under_two_numbers_is_seen_as_a_duplicate(records: str) -> None:
    async with open_store(records) as store:
        for seq in (1, 2, 3):
            body = encode_record(passage(7))
            await store.insert([ReceivedRecord.read(RecordId("box-1", EPOCH, seq), passage(7).TYPE, NOW, NOW, body)])
        assert (await store.totals(TODAY, alarms=1)).duplicates == 2


async def test_several_processes_bring_the_same_records(records: str) -> None:
    async with open_store(records) as first, open_store(records) as second:
        batches = [arrivals(20, f"box-{box}") for box in range(5)]
        backwards = [batch[::-1] for batch in batches[::-1]]
        new = await asyncio.gather(
            *(first.insert(batch) for batch in batches), *(second.insert(batch) for batch in backwards)
        )
        assert sum(new) == 100
        totals = await first.totals(TODAY, alarms=1)
        assert (sum(totals.kinds.values()), totals.redelivered, totals.duplicates) == (100, 100, 0)
        assert {count for count, _ in totals.boxes.values()} == {20}


async def test_numbers_that_are_missing(records: str) -> None:
    async with open_store(records) as store:
        every = arrivals(20)
        await store.insert([each for each in every if each.name.seq not in {1, 5, 6, 7, 20}])
        assert await store.holes("box-1", EPOCH, 1, 20) == [(1, 1), (5, 7), (20, 20)]
        assert await store.holes("box-1", EPOCH, 6, 10) == [(6, 7)]
        assert await store.holes("box-2", EPOCH, 1, 3) == [(1, 3)]
        assert [each.seq for each in await store.stored("box-1", EPOCH, 3, 9)] == [3, 4, 8, 9]
        [kept] = await store.stored("box-1", EPOCH, 2, 2)
        assert (kept.kind, kept.body, kept.chain) == (every[1].kind, every[1].body, bytes(32))


async def test_one_process_alone_settles_a_stream(records: str) -> None:
    async with open_store(records) as store:
        await store.insert(arrivals(5))
        [stream] = await store.open_streams(NOW_MS - 1000, 1)
        assert stream == Stream("box-1", EPOCH, highest=5, settled=0, asked_ms=0)
        assert await store.settle(stream, 3, asked_ms=10)
        assert not await store.settle(stream, 4, asked_ms=10)
        assert await store.open_streams(NOW_MS - 1000, 10) == []  # asked too lately
        assert await store.open_streams(NOW_MS + 1000, 11) == []  # silent
        [stream] = await store.open_streams(NOW_MS - 1000, 11)
        assert await store.settle(stream, 5, asked_ms=10)
        assert await store.open_streams(NOW_MS - 1000, 11) == []  # whole


async def test_absent_numbers_are_known(records: str) -> None:
    earlier = "f" * 16
    async with open_store(records) as store:
        refused = AbsentRange("box-1", EPOCH, 9, 9, 1, "refused: 'why'")
        await store.insert([gap(8, 2, 4), gap(10, 7, 8, earlier)], [refused])
        await store.insert([gap(8, 2, 4)], [refused])
        given_up = "given up by the box: 3 sentinel.passage.decided"
        assert await store.absences("box-1", EPOCH) == [AbsentRange("box-1", EPOCH, 2, 4, 3, given_up), refused]
        assert [each.first for each in await store.absences("box-1", earlier)] == [7]


async def test_the_numbers_of_a_day(records: str) -> None:
    yesterday = NOW - timedelta(days=1)
    async with open_store(records) as store:
        for seq, happened in ((1, yesterday), (2, yesterday), (4, NOW), (5, NOW), (8, NOW + timedelta(days=1))):
            body = encode_record(passage(seq))
            await store.insert(
                [ReceivedRecord.read(RecordId("box-1", EPOCH, seq), passage(1).TYPE, happened, NOW, body)]
            )
        [span] = await store.spans("box-1", TODAY)
        assert (span.first, span.last, span.before, span.after) == (4, 5, 2, 8)
        [span] = await store.spans("box-1", None)
        assert (span.first, span.last, span.before, span.after) == (1, 8, None, None)
        assert await store.spans("box-2", None) == []


def test_a_kind_of_a_newer_box_is_kept_as_it_is() -> None:
    name = RecordId("box-1", EPOCH, 1)
    assert ReceivedRecord.read(name, "sentinel.future", NOW, NOW, b'{"x": 1}').subject is None
    with pytest.raises(BadMessage):
        ReceivedRecord.read(name, "sentinel.future", NOW, NOW, b"no json")


@pytest.mark.parametrize("text", ["a\0b", "x" * 200])
async def test_no_text_of_a_record_can_stop_a_store(records: str, text: str) -> None:
    record = passage(1, verdict=text)
    with pytest.raises(BadMessage):
        ReceivedRecord.read(RecordId("box-1", EPOCH, 1), record.TYPE, NOW, NOW, encode_record(record))
    with pytest.raises(BadMessage):
        ReceivedRecord.read(RecordId("box-1", EPOCH, 1), text, NOW, NOW, b"{}")
    async with open_store(records) as store:
        harmless = encode_record(passage(1)).replace(b"east-gate", b"\\u0000")
        assert await store.insert(
            [ReceivedRecord.read(RecordId("box-1", EPOCH, 1), passage(1).TYPE, NOW, NOW, harmless)]
        )


@pytest.mark.parametrize(
    "spoilt",
    [
        Gap(noted=clock(), lost={"x": LARGEST, "y": LARGEST}, first_seq=1, last_seq=2),
        Gap(noted=clock(), lost={"a\0b": 1}, first_seq=1, last_seq=2),
        Gap(noted=clock(), lost={}, first_seq=-1, last_seq=2),
        Gap(noted=clock(), lost={}, first_seq=1, last_seq=1 << 64),
        Gap(noted=clock(), lost={}, first_seq=1, last_seq=2, epoch="e" * 200),
    ],
)
def test_a_gap_out_of_range_is_refused(spoilt: Gap) -> None:
    with pytest.raises(BadMessage):
        ReceivedRecord.read(RecordId("box-1", EPOCH, 3), Gap.TYPE, NOW, NOW, encode_record(spoilt))


async def test_a_missing_store_is_reported() -> None:
    with pytest.raises(StoreFailed, match="PostgreSQL"):
        async with open_store("postgresql://nobody@/none?host=/nowhere"):
            pass
    with pytest.raises(StoreFailed, match="no records"):
        open_store("/nowhere/records.db", reading=True)


async def test_the_store_reconnects_to_its_server(postgresql: Cluster) -> None:
    url = postgresql.new_database()
    async with open_store(url) as store:
        await store.insert(arrivals(3))
        server = await asyncpg.connect(url)
        await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        await server.close()
        for _ in range(8):  # each connection of the pool may be found dead when it is used
            with contextlib.suppress(StoreFailed):
                await store.insert(arrivals(5))
        assert sum((await store.totals(TODAY, alarms=1)).kinds.values()) == 5


async def test_a_store_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    old = sqlite3.connect(path)
    old.executescript((Path(__file__).parent / "data" / "records-1.sql").read_text())
    old.close()
    for _ in range(2):
        async with SqliteStore.opened(path) as store:
            totals = await store.totals(TODAY, alarms=5)
            assert (sum(totals.kinds.values()), totals.redelivered, totals.duplicates) == (5, 7, 0)
            assert totals.reasons == {"admit": {"green_code": 2}}
            assert len(totals.alarms) == 1
            assert await store.holes("box-1", EPOCH, 1, 5) == []
    async with SqliteStore.opened(path) as store:
        kept = await store.stored("box-1", EPOCH, 1, 5)
        again = [
            ReceivedRecord.read(RecordId("box-1", EPOCH, each.seq), each.kind, NOW, NOW, each.body) for each in kept
        ]
        assert await store.insert([*again, *arrivals(6)[5:]]) == 1


@pytest.mark.parametrize(
    "body",
    [b"{}", b"\x00", b"[" * 5000, b'{"verdict": 1}', b"\xff"],
    ids=["without fields", "not JSON", "nested", "of another type", "not UTF-8"],
)
async def test_old_rows_that_are_not_valid_today_do_not_keep_the_store_from_opening(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    path = tmp_path / "records.db"
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript((Path(__file__).parent / "data" / "records-1.sql").read_text())
        with old:
            assert old.execute("UPDATE record SET body = ? WHERE seq <> 2", (body,)).rowcount == 4
            old.execute("UPDATE record SET kind = ? WHERE seq = 4", ("x\n" * 200,))
    for _ in range(2):
        async with SqliteStore.opened(path) as store:
            totals = await store.totals(TODAY, alarms=5)
            assert sum(totals.kinds.values()) == 5
            assert [found.alarm.kind for found in totals.alarms] == ["unreadable"]
            assert [each.body == body for each in await store.stored("box-1", EPOCH, 1, 5)].count(True) == 4
            assert await store.holes("box-1", EPOCH, 1, 5) == []
    async with SqliteStore.opened(path) as store:
        assert await store.insert(arrivals(7)[5:]) == 2
    assert len([each for each in caplog.messages if "kept without its summary" in each]) == 4
