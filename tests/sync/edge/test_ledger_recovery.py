"""A ledger that was emptied, removed, cut, replaced or changed: it is noticed, reported, and the rest is delivered."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

import pytest

from sync.contract.records import AlarmRaised, Gap
from sync.edge.ledger.ledger import Ledger
from sync.edge.ledger.recovery import start_new_epoch
from sync.edge.ledger.schema import Row
from sync.errors import DamagedFile, StoreFailed
from sync.storage.encryption import KEY_BYTES, KeyedCipher
from tests.sync.city import BUDGET_BYTES, alarm, mixed, passage

CIPHER = KeyedCipher(bytes(range(KEY_BYTES)))
MANY = 10_000


def opened(path: Path) -> AbstractAsyncContextManager[Ledger]:
    return Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=CIPHER)


async def killed_ledger(folder: Path, records: int = 50) -> tuple[Path, dict[tuple[str, int], Row]]:
    """The files that a kill leaves, with pending records in the database and in its write-ahead log."""
    path, left = folder / "ledger.db", folder / "left"
    left.mkdir()
    async with opened(path) as ledger:
        await ledger.append_all(mixed(records // 2))
    async with opened(path) as ledger:
        for record in mixed(records - records // 2, records):
            await ledger.append(record)
        written = {row.name: row for row in await ledger.recent(MANY)}
        for suffix in ("", "-wal", "-head"):
            shutil.copy(f"{path}{suffix}", left / f"ledger.db{suffix}")
    return left / "ledger.db", written


def reports(rows: list[Row]) -> tuple[list[AlarmRaised], list[Gap]]:
    """Alarms about a damaged ledger, and gap records."""
    records = [row.record() for row in rows]
    alarms = [each for each in records if isinstance(each, AlarmRaised) and each.kind == "ledger_damaged"]
    return alarms, [each for each in records if isinstance(each, Gap)]


def cut(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


def remove_log(path: Path) -> None:
    path.with_name("ledger.db-wal").unlink()


def remove_both(path: Path) -> None:
    remove(path)
    remove_log(path)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def cut_log(path: Path) -> None:
    """As a file system check leaves it."""
    log = path.with_name("ledger.db-wal")
    log.write_bytes(log.read_bytes()[:20_000])


def flip_log(path: Path) -> None:
    log = path.with_name("ledger.db-wal")
    content = bytearray(log.read_bytes())
    content[32 + 24 + 10] ^= 1
    log.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, remove, remove_log, remove_both, zero, cut_log, flip_log])
@pytest.mark.parametrize("head", [True, False], ids=["with head", "from an older version"])
async def test_a_ledger_that_lost_its_file_or_its_log_is_not_silently_new(
    tmp_path: Path, damage: Callable[[Path], None], head: bool
) -> None:
    path, written = await killed_ledger(tmp_path)
    if not head:
        if damage in (remove_both, remove_log, cut_log, flip_log):
            pytest.skip("without a head nothing tells what was there")
        path.with_name("ledger.db-head").unlink()
    damage(path)
    [(before, _), *_] = written
    async with opened(path) as ledger:
        assert ledger.epoch != before
        delivered = await ledger.earlier_unacknowledged(MANY)
        alarms, gaps = reports(await ledger.recent(MANY))
        [aside] = path.parent.glob("ledger.db.damaged-*Z")
    assert all(row == written[row.name] for row in delivered)
    assert len(alarms) == 1
    assert aside.name in alarms[0].detail
    missing = written.keys() - {row.name for row in delivered}
    if head:
        assert all(
            any(gap.first_seq <= seq <= gap.last_seq for gap in gaps if gap.epoch == before) for _, seq in missing
        )
    if damage is flip_log or (damage is cut and head):
        assert len(delivered) > 10  # from the log


async def test_an_older_copy_is_not_continued(tmp_path: Path) -> None:
    """Numbers that the platform has already would be used again."""
    path, copy = tmp_path / "ledger.db", tmp_path / "copy.db"
    async with opened(path) as ledger:
        await ledger.append_all(mixed(10))
    shutil.copy(path, copy)
    async with opened(path) as ledger:
        before = ledger.epoch
        await ledger.append_all(mixed(5, 10))
    shutil.copy(copy, path)
    async with opened(path) as ledger:
        assert ledger.epoch != before
        assert [row.seq for row in await ledger.earlier_unacknowledged(MANY)] == list(range(1, 11))
        _, [gap] = reports(await ledger.recent(MANY))
    assert (gap.epoch, gap.first_seq, gap.last_seq, gap.lost) == (before, 11, 15, {"unreadable": 5})


CHANGES = {
    "epoch": "UPDATE ledger SET epoch = 'f' || substr(epoch, 2, 14) || 'x'",
    "last number, lower": "UPDATE sqlite_sequence SET seq = 3 WHERE name = 'record'",
    "last number, higher": "UPDATE sqlite_sequence SET seq = 1 << 40 WHERE name = 'record'",
    "schema": "ALTER TABLE record RENAME COLUMN parked TO qarked",
    "migrations": "UPDATE _sqlite_migrations SET name = 'agf' WHERE name = 'age'",
    "owner": "UPDATE _sqlite_migrations SET migration_set = 'mledger'",
    "key id": "PRAGMA user_version = 77",
}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_change_of_what_identifies_the_ledger_is_noticed_and_all_records_delivered(
    tmp_path: Path, what: str
) -> None:
    path = tmp_path / "ledger.db"
    async with opened(path) as ledger:
        await ledger.append_all(mixed(12))
        await ledger.append(alarm(40))
        written = {row.name: row for row in await ledger.recent(MANY)}
        before = ledger.epoch
    with closing(sqlite3.connect(path)) as database:
        database.execute(CHANGES[what])
        database.commit()
    async with opened(path) as ledger:
        assert ledger.epoch != before
        assert {row.name: row for row in await ledger.earlier_unacknowledged(MANY)} == written
        alarms, gaps = reports(await ledger.recent(MANY))
        assert (len(alarms), gaps) == (1, [])


ROWS = {
    "kind": "UPDATE record SET kind = 'sentinel.passage.closed' WHERE seq = 3",
    "alarm": "UPDATE record SET kind = 'sentinel.alarm.raised' WHERE seq = 3",
    "time": "UPDATE record SET appended_ms = appended_ms + 4096 WHERE seq = 3",
    "hash": "UPDATE record SET chain = zeroblob(32) WHERE seq = 3",
    "short hash": "UPDATE record SET chain = zeroblob(31) WHERE seq = 3",
    "type": "UPDATE record SET appended_ms = 'soon' WHERE seq = 3",
    "text": "UPDATE record SET kind = CAST(x'ff73' AS TEXT) WHERE seq = 3",
    "body": "UPDATE record SET body = zeroblob(100) WHERE seq = 3",
}


@pytest.mark.parametrize("what", ROWS)
async def test_a_changed_row_is_parked_and_reported_and_the_others_are_sent(tmp_path: Path, what: str) -> None:
    path = tmp_path / "ledger.db"
    async with opened(path) as ledger:
        await ledger.append_all([passage(index) for index in range(6)])
        epoch = ledger.epoch
    with closing(sqlite3.connect(path)) as database:
        database.execute(ROWS[what])
        database.commit()
    for start in range(2):
        async with opened(path) as ledger:
            rows = [*await ledger.unacknowledged(False), *await ledger.unacknowledged(True)]
            assert [row.seq for row in rows if row.seq < 7] == [1, 2, 4, 5, 6]
            assert ((await ledger.status()).parked, ledger.last_seq) == (1, 8), start
            alarms, [gap] = reports(await ledger.recent(MANY))
            assert len(alarms) == 1
            assert (gap.epoch, gap.first_seq, gap.last_seq) == (epoch, 3, 3)


async def test_a_record_whose_acknowledgement_appeared_by_damage_is_delivered(tmp_path: Path) -> None:
    """One bit makes a NULL the number 0; the indexes still say that the record is pending."""
    path = tmp_path / "ledger.db"
    async with opened(path) as ledger:
        await ledger.append_all([passage(index) for index in range(6)])
        before = ledger.epoch
    indexes = "FROM sqlite_master WHERE type = 'index' AND tbl_name = 'record'"
    with closing(sqlite3.connect(path)) as database:
        kept = database.execute(f"SELECT * {indexes}").fetchall()
        database.execute("PRAGMA writable_schema=ON")
        database.execute(f"DELETE {indexes}")
        database.commit()
    with closing(sqlite3.connect(path)) as database:  # it does not know the indexes of the row
        database.execute("UPDATE record SET acknowledged_ms = 0 WHERE seq = 4")
        database.execute("PRAGMA writable_schema=ON")
        database.executemany("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", kept)
        database.commit()
    async with opened(path) as ledger:
        assert ledger.epoch != before
        assert [row.seq for row in await ledger.earlier_unacknowledged(MANY)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("damaged", [False, True], ids=["renewed", "damaged"])
async def test_pending_records_of_every_earlier_epoch_are_kept(tmp_path: Path, damaged: bool) -> None:
    """What the first epoch still has to deliver is in a table of the second file, and goes on to the third."""
    path, written = tmp_path / "ledger.db", {}
    for first in (0, 100):
        async with opened(path) as ledger:
            await ledger.append_all(mixed(12, first))
            await ledger.acknowledge(ledger.epoch, [(1, 2)])
            written |= {row.name: row for row in await ledger.recent(MANY) if row.seq > 2}
        if first == 0 or not damaged:
            start_new_epoch(path)
        for aside in tmp_path.glob("ledger.db.renewed-*"):
            if damaged and first:
                aside.unlink()  # only the table has them
    if damaged:
        content = bytearray(path.read_bytes())
        content[18] ^= 0x40
        path.write_bytes(content)
    async with opened(path) as ledger:
        delivered: dict[tuple[str, int], Row] = {}
        while rows := await ledger.earlier_unacknowledged(MANY):
            delivered |= {row.name: row for row in rows}
            await ledger.acknowledge(rows[0].epoch, [(1, MANY)])
    assert len({epoch for epoch, _ in delivered}) == 2
    assert {name: row for name, row in delivered.items() if name in written} == written


async def test_damage_that_is_found_in_use_ends_the_run_and_is_set_aside_at_the_next(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with opened(path) as ledger:
        await ledger.append_all(mixed(400))
        before = ledger.epoch
    async with opened(path) as ledger:
        await ledger.touch()
        content = path.read_bytes()
        path.write_bytes(content[:4096] + bytes(len(content) - 4096))
        with pytest.raises(StoreFailed):
            await ledger.recent(MANY)
        with pytest.raises(DamagedFile, match="next start"):
            await ledger.touch()
        path.write_bytes(content)  # intact again: the finding counts
    async with opened(path) as ledger:
        assert ledger.epoch != before
        assert len(await ledger.earlier_unacknowledged(MANY)) == 400


async def test_records_that_the_platform_acknowledged_are_not_delivered_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with opened(path) as ledger:
        await ledger.append_all(mixed(10))
        epoch = ledger.epoch
        await ledger.acknowledge(epoch, ((1, 4), (6, 6)))
    start_new_epoch(path)
    async with opened(path) as ledger:
        delivered = await ledger.earlier_unacknowledged(MANY)
        _, gaps = reports(await ledger.recent(MANY))
    assert [row.name for row in delivered] == [(epoch, seq) for seq in (5, 7, 8, 9, 10)]
    assert not gaps
