"""Older data never replace newer: row by row for statuses and lists, and a revocation least of all."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sync.contract.checksum import checksum_of
from sync.contract.health import Colour, HealthStatus, TestResult
from sync.errors import BadMessage
from sync.platform.directory.importer import ImportReport, import_file, read_numbers
from sync.platform.directory.store import Authorisation, DirectoryStore, PutResult, Update
from tests.leftovers import quick_folder
from tests.sync.city import COMMUNITY_KEY, number, status_of

DAY = datetime(2022, 4, 1, 8, 0, tzinfo=UTC)
KEY = status_of(1).person_key
ORDER = Authorisation("District office", "wrong person", DAY)


def row(hours: float, index: int = 1, **changes: Any) -> dict[str, Any]:
    """A row as of `hours` after DAY."""
    as_of = (DAY + timedelta(hours=hours)).isoformat()
    return {"number": number(index), "colour": "green", "as_of": as_of, **changes}


class Town:
    """A directory and the files that are imported into it."""

    def __init__(self, store: DirectoryStore, folder: Path) -> None:
        self.store = store
        self._path = folder / "people.jsonl"

    async def take(self, *rows: dict[str, Any]) -> ImportReport:
        self._path.write_text("\n".join(map(json.dumps, rows)))
        return await import_file(self.store, self._path, COMMUNITY_KEY)

    async def status(self, index: int = 1) -> HealthStatus:
        found = await self.store.status(status_of(index).person_key)
        assert found is not None
        return found


@pytest.fixture
async def town(tmp_path: Path) -> Any:
    async with DirectoryStore.opened(tmp_path / "directory.db") as store:
        yield Town(store, tmp_path)


async def test_an_older_row_changes_nothing_and_is_counted(town: Town) -> None:
    await town.take(row(0), row(0, 2, lists=["watch"]))
    await town.take(row(5, colour="red"))
    report = await town.take(row(4.9), row(1, 2, lists=["white:resident"]), row(0, 3))
    assert (report.read, report.changed, report.older, report.refused) == (3, 2, 1, ())
    assert (await town.status()).colour is Colour.RED
    assert (await town.status(2)).lists == ("white:resident",)
    report = await town.take(row(0, 2, lists=["watch"]), row(0, 3))
    assert (report.changed, report.older) == (0, 1)
    assert (await town.status(2)).lists == ("white:resident",)


async def test_the_same_file_after_a_revocation_does_not_undo_it(town: Town) -> None:
    await town.take(row(0))
    now = DAY + timedelta(hours=20)
    issued = await town.store.revoke([KEY], Colour.RED, now)
    assert (issued.others, len(issued.ops)) == ((), 1)
    for hours in (0, 19.9, 20):
        assert (await town.take(row(hours))).older == 1
        assert (await town.status()).colour is Colour.RED
    assert (await town.take(row(20.1))).changed == 1
    assert (await town.status()).colour is Colour.GREEN


async def test_a_status_from_the_future_does_not_survive_a_revocation(town: Town) -> None:
    """Rows that an older version took: their `as_of` may be up to a day ahead of the revocation."""
    ahead = msgspec.structs.replace(status_of(1), as_of=DAY + timedelta(days=1))
    await town.store.put([ahead])
    await town.store.revoke([KEY], Colour.RED, DAY)
    assert await town.store.update([Update(ahead)]) == [PutResult.OLDER]
    assert (await town.status()).colour is Colour.RED


async def test_a_person_is_revoked_before_being_known(town: Town) -> None:
    issued = await town.store.revoke([KEY, status_of(2).person_key, KEY], Colour.RED, DAY + timedelta(hours=1))
    assert issued.others == (KEY, status_of(2).person_key)
    assert len(issued.ops) == 2
    report = await town.take(row(0), row(2, 2))
    assert (report.older, report.changed) == (1, 1)
    assert ((await town.status()).colour, (await town.status(2)).colour) == (Colour.RED, Colour.GREEN)


async def test_a_revocation_ends_an_exemption(town: Town) -> None:
    until = (DAY + timedelta(hours=48)).isoformat()
    granted = row(0, lists=["exempt:dialysis"], exempt_until=until, exempt_by="Street office")
    assert (await town.take(granted)).changed == 1
    assert (await town.status()).exempt_until == DAY + timedelta(hours=48)
    await town.store.revoke([KEY], Colour.YELLOW, DAY + timedelta(hours=1))
    assert ((await town.status()).exempt_until, (await town.take(granted)).older) == (None, 1)


async def test_a_named_order_restores_what_was_before(town: Town, tmp_path: Path) -> None:
    await town.take(row(0, lists=["watch"]))
    before = await town.status()
    stranger = status_of(2).person_key
    for colour in (Colour.YELLOW, Colour.RED):
        await town.store.revoke([KEY, stranger], colour, DAY + timedelta(hours=1))
    issued = await town.store.reinstate([KEY, stranger, status_of(3).person_key], ORDER)
    assert (issued.others, len(issued.ops)) == ((status_of(3).person_key,), 2)
    assert msgspec.structs.replace(await town.status(), version=before.version) == before
    assert await town.store.status(stranger) is None
    assert (await town.store.reinstate([KEY], ORDER)).others == (KEY,)
    with closing(sqlite3.connect(tmp_path / "directory.db")) as database:
        assert database.execute("SELECT by, reason FROM reinstatement").fetchall() == [(ORDER.by, ORDER.reason)] * 2


async def test_newer_data_end_a_revocation_for_good(town: Town) -> None:
    await town.store.revoke([KEY], Colour.RED, DAY)
    await town.take(row(1, colour="yellow"))
    assert (await town.store.reinstate([KEY], ORDER)).others == (KEY,)
    assert (await town.status()).colour is Colour.YELLOW


async def test_what_a_file_does_not_state_is_kept(town: Town) -> None:
    sampled = DAY.isoformat()
    await town.take(row(0, lists=["watch"], result="positive", sampled_at=sampled))
    await town.take(row(1))
    status = await town.status()
    assert (status.lists, status.result, status.sampled_at) == (("watch",), TestResult.POSITIVE, DAY)
    await town.take(row(2, lists=[]))
    await town.take(row(3, result="negative"))
    status = await town.status()
    assert (status.lists, status.result, status.sampled_at) == ((), TestResult.NEGATIVE, None)


async def test_an_empty_cell_states_that_there_is_none(town: Town, tmp_path: Path) -> None:
    await town.take(row(0, lists=["watch"], result="positive", sampled_at=DAY.isoformat()))
    path = tmp_path / "people.csv"
    at = (DAY + timedelta(hours=1)).isoformat()
    path.write_text(f"number,colour,as_of,lists\n{number(1)},green,{at},\n")
    assert (await import_file(town.store, path, COMMUNITY_KEY)).changed == 1
    status = await town.status()
    assert (status.lists, status.result) == ((), TestResult.POSITIVE)


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        ([row(2, colour="red"), row(1)], 1),  # the newer one, wherever it stands
        ([row(1), row(2, colour="red")], 2),
        ([row(1, colour="red"), row(2)], 2),
        ([row(1, colour="red"), row(1)], 1),  # equally new: the graver one
        ([row(1), row(1, colour="yellow")], 2),
        ([row(1, result="positive"), row(1, result="negative")], 1),
        ([row(1, lists=["watch:home"]), row(1, lists=["white:resident"])], 1),
        ([row(1, lists=["white:resident"]), row(1, lists=["white:trader"])], 2),  # equally grave: the last one
    ],
)
async def test_of_two_rows_of_one_person_one_counts_and_the_report_says_which(
    town: Town, rows: list[dict[str, Any]], counts: int
) -> None:
    report = await town.take(*rows, row(0, 2))
    text = f"the same person as line 1, with other data: line {counts} counts, as newer or graver"
    assert (report.read, report.repeated, report.warnings) == (3, 1, ((2, text),))
    status = await town.status()
    expected = rows[counts - 1]
    assert (status.colour.value, list(status.lists)) == (expected["colour"], expected.get("lists", []))
    assert status.result.value == expected.get("result", "none")


async def test_a_row_twice_is_counted_and_no_warning(town: Town) -> None:
    report = await town.take(row(1), row(1), row(1))
    assert (report.read, report.changed, report.repeated, report.older, report.warnings) == (3, 1, 2, 0, ())


async def test_zeroed_numbers_with_a_right_check_digit_are_a_warning(town: Town) -> None:
    zeroed = next(each for each in map(number, range(99, 400_000, 100)) if each.endswith("000"))
    report = await town.take(row(0), row(0, number=zeroed))
    assert (report.changed, report.refused, [line for line, _ in report.warnings]) == (2, (), [2])
    assert "000, as a spreadsheet leaves" in report.warnings[0][1]
    found = read_numbers(["\ufeff" + number(1), "", zeroed, f" {number(1)}"], COMMUNITY_KEY)
    assert list(found.lines.values()) == [1, 3]
    assert [line for line, _ in found.warnings] == [3, 4]


async def test_a_row_of_an_older_version_that_is_not_valid_today_is_replaced_and_never_answered(tmp_path: Path) -> None:
    path = tmp_path / "directory.db"
    async with DirectoryStore.opened(path) as store:
        await store.put([status_of(index) for index in range(1, 4)])
    with closing(sqlite3.connect(path)) as database, database:
        for index, body in enumerate((b'{"colour": "purple"}', b"\x00", b"[" * 5000), start=1):
            database.execute("UPDATE person SET body = ? WHERE person_key = ?", (body, status_of(index).person_key))
        [head] = database.execute("SELECT body FROM head").fetchone()
        checksum = checksum_of(body for (body,) in database.execute("SELECT body FROM person"))
        database.execute("UPDATE head SET body = ?", (json.dumps(json.loads(head) | {"checksum": checksum}).encode(),))
    async with DirectoryStore.opened(path) as store:
        for index in range(1, 4):
            with pytest.raises(BadMessage, match="directory row"):
                await store.status(status_of(index).person_key)
        assert await store.put([status_of(1)]) == 1
        assert (await store.revoke([status_of(2).person_key], Colour.RED, DAY)).others == ()
        assert await store.remove([status_of(3).person_key]) == 1
        restored = await store.status(status_of(1).person_key)
        revoked = await store.status(status_of(2).person_key)
    assert restored is not None and revoked is not None
    assert (restored.colour, revoked.colour) == (Colour.GREEN, Colour.RED)


class DirectoryOrder(RuleBasedStateMachine):
    """Files and revocations in any order: the status is the one with the latest `as_of`, and red until newer data."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = quick_folder()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        path = Path(self.folder.name) / "directory.db"
        self.store = self.runner.run(self.stack.enter_async_context(DirectoryStore.opened(path)))
        self.now = DAY
        self.latest: tuple[datetime, Colour] | None = None
        self.before: tuple[datetime, Colour] | None = None
        self.revoked = False

    @rule(minutes=st.integers(-30, 0), colour=st.sampled_from(Colour))
    def put(self, minutes: int, colour: Colour) -> None:
        as_of = self.now + timedelta(minutes=minutes)
        status = msgspec.structs.replace(status_of(1, colour=colour), as_of=as_of)
        [result] = self.runner.run(self.store.update([Update(status)]))
        older = self.latest is not None and (as_of < self.latest[0] or (as_of == self.latest[0] and self.revoked))
        assert (result is PutResult.OLDER) == older
        if result is PutResult.CHANGED:
            self.revoked = False
        if not older:
            self.latest = (as_of, colour)

    @rule(minutes=st.integers(1, 20))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def revoke(self) -> None:
        if not self.revoked:
            self.before, self.revoked = self.latest, True
        self.runner.run(self.store.revoke([KEY], Colour.RED, self.now))
        floor = self.latest[0] + timedelta(microseconds=1) if self.latest else self.now
        self.latest = (max(self.now, floor), Colour.RED)

    @rule()
    def reinstate(self) -> None:
        assert (self.runner.run(self.store.reinstate([KEY], ORDER)).others == ()) == self.revoked
        if self.revoked:
            self.latest, self.revoked = self.before, False

    @invariant()
    def compare(self) -> None:
        found = self.runner.run(self.store.status(KEY))
        assert (None if found is None else (found.as_of, found.colour)) == self.latest

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()


DirectoryOrder.TestCase.settings = settings(
    max_examples=int(os.environ.get("DIRECTORY_HISTORIES", "50")), stateful_step_count=20
)
TestDirectoryOrder = DirectoryOrder.TestCase
