"""The register: sealed to its consent, seen by both its users at once, forgotten to the last byte."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from edge_agent.faces.consent import PURPOSE, Giver
from edge_agent.faces.errors import ConsentMissing, FaceTaken, RegisterFull
from edge_agent.faces.gallery import EMPTY, Gallery
from edge_agent.faces.register import FaceRegister
from sync.errors import WrongKey
from sync.storage.encryption import KEY_BYTES, KeyedCipher
from tests.edge_agent.clocks import moment
from tests.edge_agent.faces.stand import NOW, agreed, entry_of, key_of, unit

SEALER = KeyedCipher(bytes(range(KEY_BYTES)))
EAST, NORTH, UP = unit(1, 0, 0), unit(0, 1, 0), unit(0, 0, 1)


@pytest.fixture
async def register(tmp_path: Path) -> AsyncIterator[FaceRegister]:
    async with FaceRegister.opened(tmp_path / "faces.db", SEALER, limit=3) as opened:
        yield opened


async def test_who_is_registered_is_found_by_pack_and_in_time(register: FaceRegister) -> None:
    await register.add(entry_of(1, EAST), agreed(30), alike=0.5)
    await register.add(entry_of(2, NORTH), agreed(10), alike=0.5)
    await register.add(entry_of(3, NORTH[:2], "other"), agreed(30), alike=0.5)
    gallery = await _whole(register)
    assert gallery.person_keys == (key_of(1), key_of(2))
    assert gallery.vectors == pytest.approx(np.array([EAST, NORTH]))
    assert (await _whole(register, NOW + timedelta(days=10))).person_keys == (key_of(1),)
    assert [each.pack for each in await register.rows()] == ["one", "one", "other"]


async def test_upper_halves_are_found_by_their_own_pack(register: FaceRegister) -> None:
    await register.add(entry_of(1, EAST, upper=UP), agreed(), alike=0.5)
    await register.add(entry_of(2, NORTH), agreed(), alike=0.5)  # a pack without upper halves
    both = await register.galleries("one", "one-upper", moment(NOW))
    assert (both.whole.person_keys, both.upper.person_keys) == ((key_of(1), key_of(2)), (key_of(1),))
    assert both.upper.vectors == pytest.approx(np.array([UP]))
    for other in ("one-upper-2", None):  # computed by another map: not comparable
        assert (await register.galleries("one", other, moment(NOW))).upper.person_keys == ()
    assert [each.upper_pack for each in await register.rows()] == ["one-upper", None]


@pytest.mark.parametrize("cipher", [SEALER, None])
async def test_a_register_of_an_older_version_is_read(tmp_path: Path, cipher: KeyedCipher | None) -> None:
    path = tmp_path / "faces.db"
    async with FaceRegister.opened(path, cipher) as register:
        await register.add(entry_of(1, EAST), agreed(), alike=0.5)
        await register.add(entry_of(2, NORTH), agreed(), alike=0.5)
    with closing(sqlite3.connect(path)) as other:  # as it was before upper halves were stored
        other.execute("ALTER TABLE face DROP COLUMN upper_body")
        other.execute("ALTER TABLE face DROP COLUMN upper_pack")
        other.execute("DELETE FROM _sqlite_migrations WHERE migration_set = 'faces' AND name = 'add_upper_halves'")
        other.commit()
    for beside in set(tmp_path.iterdir()) - {path}:  # the checksums of the newer version
        beside.unlink()
    async with FaceRegister.opened(path, SEALER) as register:  # encrypts a plain file
        assert (await _whole(register)).person_keys == (key_of(1), key_of(2))
        assert (await register.galleries("one", "one-upper", moment(NOW))).upper.person_keys == ()
        await register.add(entry_of(1, EAST, upper=UP), agreed(), alike=0.5)
        assert (await register.galleries("one", "one-upper", moment(NOW))).upper.person_keys == (key_of(1),)


async def test_a_plain_register_is_encrypted_with_its_upper_halves(tmp_path: Path) -> None:
    path = tmp_path / "faces.db"
    async with FaceRegister.opened(path, None) as register:
        await register.add(entry_of(1, EAST, upper=unit(3, 4, 5)), agreed(), alike=0.5)
    assert unit(3, 4, 5).tobytes() in _bytes(tmp_path)
    async with FaceRegister.opened(path, SEALER) as register:
        both = await register.galleries("one", "one-upper", moment(NOW))
        assert both.upper.vectors == pytest.approx(np.array([unit(3, 4, 5)]))
    assert unit(3, 4, 5).tobytes() not in _bytes(tmp_path)


async def test_an_upper_half_moved_to_another_row_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "faces.db"
    async with FaceRegister.opened(path, SEALER) as register:
        await register.add(entry_of(1, EAST, upper=UP), agreed(), alike=0.5)
        await register.add(entry_of(2, NORTH, upper=NORTH), agreed(), alike=0.5)
        with closing(sqlite3.connect(path)) as other:
            other.execute("UPDATE face SET upper_body = (SELECT upper_body FROM face WHERE id = 2) WHERE id = 1")
            other.commit()
        assert (await register.galleries("one", "one-upper", moment(NOW))).upper.person_keys == (key_of(2),)


async def test_another_face_of_a_person_takes_the_place_of_the_first(register: FaceRegister) -> None:
    first = await register.add(entry_of(1, EAST), agreed(), alike=0.5)
    second = await register.add(entry_of(1, NORTH), agreed(), alike=0.5)
    assert first != second
    assert [each.row for each in await register.rows()] == [second]


async def test_a_face_is_not_registered_under_two_numbers(register: FaceRegister) -> None:
    await register.add(entry_of(1, EAST), agreed(), alike=0.5)
    with pytest.raises(FaceTaken):
        await register.add(entry_of(2, unit(1, 1, 0)), agreed(), alike=0.5)
    assert (await _whole(register)).person_keys == (key_of(1),)


async def test_a_full_register_takes_nobody_else_but_another_face_of_the_same(register: FaceRegister) -> None:
    for number, vector in enumerate((EAST, NORTH, UP)):
        await register.add(entry_of(number, vector), agreed(), alike=0.5)
    with pytest.raises(RegisterFull):
        await register.add(entry_of(4, unit(-1, -1, -1)), agreed(), alike=0.5)
    await register.add(entry_of(2, unit(-1, -1, -1)), agreed(), alike=0.5)
    assert len(await register.rows()) == 3


async def test_nothing_of_a_person_can_be_read_from_the_files_before_or_after(tmp_path: Path) -> None:
    path, vector, upper = tmp_path / "faces.db", unit(3, 4, 5), unit(5, 4, 3)
    async with FaceRegister.opened(path, SEALER) as register:
        row = await register.add(entry_of(0xABCDEF, vector, upper=upper), agreed(), alike=0.5)
        sealed = _body(path)
        everything = _bytes(tmp_path)
        assert sealed in everything
        for secret in (bytes.fromhex(key_of(0xABCDEF)), key_of(0xABCDEF).encode(), vector.tobytes(), upper.tobytes()):
            assert secret not in everything
        assert await register.remove(row)
        assert sealed not in _bytes(tmp_path)
        assert not await register.remove(row)


async def test_a_person_withdraws_by_the_number_and_what_is_over_goes(register: FaceRegister) -> None:
    await register.add(entry_of(1, EAST), agreed(30), alike=0.5)
    await register.add(entry_of(2, NORTH), agreed(10), alike=0.5)
    assert await register.remove_person(key_of(1))
    assert not await register.remove_person(key_of(1))
    assert await register.expire(moment(NOW + timedelta(days=9))) == 0
    assert await register.expire(moment(NOW + timedelta(days=10, seconds=1))) == 1
    events = await register.events()
    assert [event.what for event in events] == ["registered", "registered", "withdrawn", "expired"]
    await register.delete_event(events[0])
    assert await register.events() == events[1:]


@pytest.mark.parametrize(("in_sync", "error_s"), [(False, None), (False, 60.0), (True, 86_400.0 * 400)])
async def test_a_clock_that_is_not_confirmed_erases_nobody(
    register: FaceRegister, in_sync: bool, error_s: float | None
) -> None:
    """A clock of 2031 that nothing confirms, one that the platform confirmed, and one with a large error."""
    await register.add(entry_of(1, EAST), agreed(30), alike=0.5)
    wrong = moment(NOW + timedelta(days=400), in_sync=in_sync, error_s=error_s)
    assert await register.expire(wrong) == 0
    assert len(await register.rows()) == 1
    assert (await register.galleries("one", None, wrong)).whole.person_keys == ()  # the consent may be over


@pytest.mark.parametrize(("error_s", "known"), [(60.0, True), (86_400.0 * 31, False), (None, False)])
async def test_a_consent_counts_only_if_it_is_valid_at_every_time_that_it_may_be(
    register: FaceRegister, error_s: float | None, known: bool
) -> None:
    await register.add(entry_of(1, EAST), agreed(30), alike=0.5)
    stopped = moment(NOW, in_sync=False, error_s=error_s)
    assert bool((await register.galleries("one", None, stopped)).whole.person_keys) is known


async def test_a_consent_that_was_made_longer_in_the_file_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "faces.db"
    async with FaceRegister.opened(path, SEALER) as register:
        await register.add(entry_of(1, EAST), agreed(), alike=0.5)
        await register.add(entry_of(2, NORTH), agreed(), alike=0.5)
        with closing(sqlite3.connect(path)) as other:
            other.execute("UPDATE face SET until_ms = until_ms + 1 WHERE id = 1")
            other.commit()
        assert (await _whole(register)).person_keys == (key_of(2),)


async def test_a_consent_for_another_purpose_counts_for_nothing(register: FaceRegister) -> None:
    await register.add(entry_of(1, EAST), replace(agreed(), purpose="other"), alike=0.5)
    await register.add(entry_of(2, NORTH), replace(agreed(), purpose=PURPOSE), alike=0.5)
    assert (await _whole(register)).person_keys == (key_of(2),)


async def test_another_key_opens_nothing_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "faces.db"
    async with FaceRegister.opened(path, SEALER) as register:
        await register.add(entry_of(1, EAST), agreed(), alike=0.5)
    with pytest.raises(WrongKey):
        async with FaceRegister.opened(path, KeyedCipher(bytes(KEY_BYTES))):
            pass
    async with FaceRegister.opened(path, SEALER) as register:
        assert (await _whole(register)).person_keys == (key_of(1),)


async def test_the_version_changes_when_the_other_user_writes(tmp_path: Path) -> None:
    async with (
        FaceRegister.opened(tmp_path / "faces.db", SEALER) as agent,
        FaceRegister.opened(tmp_path / "faces.db", SEALER) as command_line,
    ):
        before = await agent.version()
        assert await agent.version() == before
        await command_line.add(entry_of(1, EAST), agreed(), alike=0.5)
        assert await agent.version() != before
        assert (await _whole(agent)).person_keys == (key_of(1),)


@pytest.mark.parametrize("days", [-1, 0, 367])
def test_a_consent_ends_within_a_year(days: int) -> None:
    with pytest.raises(ConsentMissing):
        agreed(days)


def test_a_consent_says_who_gave_it() -> None:
    assert agreed().giver is Giver.SELF


def test_the_nearest_is_found_with_its_lead() -> None:
    assert EMPTY.nearest(EAST) is None
    one = Gallery((key_of(1),), np.array([EAST])).nearest(EAST)
    assert one is not None
    assert (one.cosine, one.margin) == (1.0, 2.0)
    both = Gallery((key_of(1), key_of(2)), np.array([NORTH, EAST])).nearest(unit(4, 3, 0))
    assert both is not None
    assert both.person_key == key_of(2)
    assert (both.cosine, both.margin) == (pytest.approx(0.8), pytest.approx(0.2))
    assert key_of(2) not in repr(both)


async def _whole(register: FaceRegister, now: datetime = NOW) -> Gallery:
    return (await register.galleries("one", "one-upper", moment(now))).whole


def _body(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as other:
        [body] = other.execute("SELECT body FROM face").fetchone()
    return bytes(body)


def _bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("faces.db*")))
