"""Encryption on the disk: bound to the row, rejected when modified, readable with any algorithm, no plaintext left."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.contract.health import HealthStatus, LookupOutcome
from sync.contract.messages import QueryAnswer
from sync.contract.records import AlarmRaised, Gap, PassageDecided
from sync.edge.directory.directory import Directory
from sync.edge.ledger.history import decided_since
from sync.edge.ledger.ledger import Ledger
from sync.errors import DecryptionFailed, WrongKey
from sync.platform.directory.store import DirectoryStore
from sync.storage.encryption import KEY_BYTES, Algorithm, KeyedCipher, is_encrypted, make_key
from tests.sync.city import BUDGET_BYTES, WHEN, alarm, mixed, passage, status_of
from tests.sync.edge.test_directory import fetch, known
from tests.sync.edge.test_ledger_history import OLD, damaged, fill

KEY, OTHER = bytes(range(KEY_BYTES)), bytes(KEY_BYTES)
ALGORITHMS = st.sampled_from(Algorithm)


@given(st.binary(max_size=600), st.text(max_size=40), ALGORITHMS, ALGORITHMS)
def test_encrypted_values_round_trip_with_every_algorithm(
    plain: bytes, place: str, before: Algorithm, now: Algorithm
) -> None:
    stored = KeyedCipher(KEY, before).encrypt(plain, place)
    assert stored[0] == before
    assert KeyedCipher(KEY, now).decrypt(stored, place) == plain
    assert len(plain) < 8 or plain not in stored


@given(st.binary(min_size=1, max_size=40), ALGORITHMS, st.integers(1, 255))
def test_every_changed_byte_is_refused(plain: bytes, algorithm: Algorithm, change: int) -> None:
    cipher = KeyedCipher(KEY, algorithm)
    stored = cipher.encrypt(plain, "place")
    for index in range(len(stored)):
        touched = bytearray(stored)
        touched[index] ^= change
        with pytest.raises(DecryptionFailed):
            cipher.decrypt(bytes(touched), "place")
        with pytest.raises(DecryptionFailed):
            cipher.decrypt(stored[:index], "place")


@given(st.binary(max_size=40), st.text(max_size=20), st.text(max_size=20), ALGORITHMS)
def test_another_place_or_key_is_refused(plain: bytes, place: str, elsewhere: str, algorithm: Algorithm) -> None:
    stored = KeyedCipher(KEY, algorithm).encrypt(plain, place)
    if place != elsewhere:
        with pytest.raises(DecryptionFailed):
            KeyedCipher(KEY, algorithm).decrypt(stored, elsewhere)
    with pytest.raises(DecryptionFailed):
        KeyedCipher(OTHER, algorithm).decrypt(stored, place)


def test_equal_values_are_not_equal_on_the_disk() -> None:
    cipher = KeyedCipher(KEY)
    assert len({cipher.encrypt(b"same", "place") for _ in range(1000)}) == 1000


def test_a_key_file_is_created_once_and_readable_by_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "at-rest.key"
    make_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(path.read_text())) == KEY_BYTES
    with pytest.raises(FileExistsError):
        make_key(path)


def on_the_disk(path: Path) -> bytes:
    """Every byte of a database and its side files."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))


@pytest.mark.parametrize("algorithm", Algorithm)
async def test_no_body_of_a_record_is_on_the_disk(tmp_path: Path, algorithm: Algorithm) -> None:
    path, cipher = tmp_path / "ledger.db", KeyedCipher(KEY, algorithm)
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=cipher) as ledger:
        records = [*mixed(40), alarm(99)]
        await ledger.append_all(records)
        assert b"passage-" not in on_the_disk(path)
        rows = await ledger.recent(100)
        assert [row.record() for row in rows] == records[::-1]
        open_keys = [record.person_key for record in records if isinstance(record, PassageDecided)]
    assert open_keys
    assert all(key is None or key.encode() not in on_the_disk(path) for key in open_keys)


async def test_a_plaintext_ledger_is_encrypted_and_no_plaintext_is_left(tmp_path: Path) -> None:
    path, cipher = tmp_path / "ledger.db", KeyedCipher(KEY)
    shutil.copy(OLD, path)
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger.append_all(mixed(500))
        before = await ledger.recent(1000)
    with closing(sqlite3.connect(path)) as database:  # free pages with plain bytes, as older versions left them
        database.execute("PRAGMA secure_delete=OFF")
        database.execute("DELETE FROM record WHERE seq BETWEEN 31 AND 400")
        database.commit()
    assert b"passage" in on_the_disk(path)
    for _ in range(2):
        async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=cipher) as ledger:
            assert b"passage" not in on_the_disk(path).replace(b"sentinel.passage", b"")
            after = await ledger.recent(1000)
            assert after == [row for row in before if not 31 <= row.seq <= 400]
            assert (await ledger.status()).epoch == "59b24c963f212462"
    assert is_encrypted(path)


@pytest.mark.parametrize(("records", "sealed"), [(300, True), (1200, False)], ids=["rows only", "nothing"])
async def test_an_encryption_that_a_full_disk_prevented_is_done_at_the_next_start(
    small_disk: Path, caplog: pytest.LogCaptureFixture, records: int, sealed: bool
) -> None:
    path, cipher = small_disk / "ledger.db", KeyedCipher(KEY)
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger.append_all(mixed(records))
        newest = set(await ledger.recent(100))
    fill(small_disk / "log")
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=cipher) as ledger:
        assert "disk too full to encrypt" in caplog.text
        assert set(await ledger.recent(1000)) > newest  # the full disk cost the oldest
        assert is_encrypted(path) == sealed
        await ledger.append(passage(1000))
    (small_disk / "log").unlink()
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=cipher) as ledger:
        assert is_encrypted(path)
        assert b"passage-" not in on_the_disk(path)
        assert set(await ledger.recent(1000)) > newest


@pytest.mark.parametrize("cipher", [None, KeyedCipher(OTHER)], ids=["no key", "another key"])
async def test_a_store_without_its_key_is_rejected_and_not_changed(tmp_path: Path, cipher: KeyedCipher | None) -> None:
    path, replica = tmp_path / "ledger.db", tmp_path / "directory.db"
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=KeyedCipher(KEY)) as ledger:
        await ledger.append_all(mixed(10))
        before = await ledger.recent(100)
    async with Directory.opened(replica, cipher=KeyedCipher(KEY)):
        pass
    with pytest.raises(WrongKey, match=r"ledger\.db: encrypted with key .*请放回"):
        async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=cipher):
            pass
    with pytest.raises(WrongKey, match=r"directory\.db: "):
        async with Directory.opened(replica, cipher=cipher):
            pass
    with pytest.raises(WrongKey):
        async for _ in decided_since(path, WHEN, "box-1", cipher):
            pass
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=KeyedCipher(KEY)) as ledger:
        assert await ledger.recent(100) == before


async def test_changed_or_swapped_rows_are_parked_and_others_are_sent(tmp_path: Path) -> None:
    path, cipher = tmp_path / "ledger.db", KeyedCipher(KEY)
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=cipher) as ledger:
        await ledger.append_all([passage(index) for index in range(6)])
    with closing(sqlite3.connect(path)) as database:
        bodies = dict(database.execute("SELECT seq, body FROM record"))
        for seq, body in ((1, bodies[2]), (2, bodies[1]), (4, b"{}")):
            database.execute("UPDATE record SET body = ? WHERE seq = ?", (body, seq))
        database.commit()
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=cipher) as ledger:
        assert [row.seq for row in await ledger.unacknowledged(False)] == [3, 5, 6]
        assert (await ledger.status()).parked == 3
        gap, damaged, *others = await ledger.recent(100)
        reported = gap.record()
        assert isinstance(reported, Gap)
        assert (reported.lost, reported.first_seq, reported.last_seq) == ({"unreadable": 3}, 1, 4)
        assert damaged.kind == AlarmRaised.TYPE
        assert [row.seq for row in others] == [6, 5, 3]


async def test_rows_of_another_box_cannot_be_decrypted(tmp_path: Path) -> None:
    path, cipher = tmp_path / "ledger.db", KeyedCipher(KEY)
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=cipher) as ledger:
        await ledger.append_all([passage(1), passage(2)])
    async with Ledger.opened(path, box="box-2", budget_bytes=BUDGET_BYTES, cipher=cipher) as ledger:
        assert [row.kind for row in await ledger.unacknowledged(False)] == [Gap.TYPE]
        assert (await ledger.status()).parked == 2
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=cipher) as ledger:
        assert [row.seq for row in await ledger.unacknowledged(False)] == [1, 2]


@pytest.mark.parametrize("late", [False, True], ids=["key there", "key comes back"])
async def test_a_damaged_encrypted_ledger_is_recovered_with_its_key(tmp_path: Path, late: bool) -> None:
    path, cipher = tmp_path / "ledger.db", KeyedCipher(KEY)
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=cipher) as ledger:
        await ledger.append_all(mixed(400))
        written = {row.seq: row for row in await ledger.recent(1000)}
    path.write_bytes(damaged(path.read_bytes(), "middle"))
    if late:
        path.rename(tmp_path / "ledger.db.damaged-lost-key")
        async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=KeyedCipher(OTHER)) as ledger:
            assert await ledger.earlier_unacknowledged(1000) == []
            assert [row.kind for row in await ledger.recent(10)] == [Gap.TYPE, AlarmRaised.TYPE]  # it is missing
        path.unlink()
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=cipher) as ledger:
        kept = await ledger.earlier_unacknowledged(1000)
        assert 100 < len(kept) < 400
        assert all(row == written[row.seq] for row in kept)
        assert b"passage-" not in on_the_disk(path)


async def test_past_passages_are_read_from_an_encrypted_ledger(tmp_path: Path) -> None:
    path, cipher = tmp_path / "ledger.db", KeyedCipher(KEY)
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES, cipher=cipher) as ledger:
        await ledger.append_all([passage(1), alarm(2), passage(3)])
        assert [record async for record in decided_since(path, WHEN, "box-1", cipher)] == [passage(1), passage(3)]


@pytest.mark.parametrize("algorithm", Algorithm)
async def test_an_encrypted_replica_answers_look_ups(tmp_path: Path, algorithm: Algorithm) -> None:
    path, cipher = tmp_path / "replica.db", KeyedCipher(KEY, algorithm)
    async with (
        DirectoryStore.opened(tmp_path / "source.db") as source,
        Directory.opened(path, cipher=cipher) as directory,
    ):
        await source.put([status_of(index) for index in range(700)])
        await fetch(source, directory)
        await source.remove([status_of(3).person_key])
        await fetch(source, directory)
        assert await known(directory, 600) == status_of(600)
        assert await known(directory, 3) is None
        assert b"sampled_at" not in on_the_disk(path)


async def test_a_plaintext_replica_is_encrypted_and_usable(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    async with DirectoryStore.opened(tmp_path / "source.db") as source:
        await source.put([status_of(index) for index in range(700)])
        async with Directory.opened(path) as directory:
            await fetch(source, directory)
            cursor = directory.cursor
        assert b"sampled_at" in on_the_disk(path)
        async with Directory.opened(path, cipher=KeyedCipher(KEY)) as directory:
            assert b"sampled_at" not in on_the_disk(path)
            assert directory.cursor == cursor
            assert await known(directory, 600) == status_of(600)


async def test_a_swapped_status_is_queried_and_then_fetched_again(tmp_path: Path) -> None:
    path, cipher = tmp_path / "replica.db", KeyedCipher(KEY)
    async with DirectoryStore.opened(tmp_path / "source.db") as source:
        await source.put([status_of(1), status_of(2)])
        async with Directory.opened(path, cipher=cipher) as directory:
            await fetch(source, directory)
            swap = (
                "UPDATE status SET body = (SELECT body FROM status WHERE person_key = ?) WHERE person_key = ?",
                (status_of(1).person_key, status_of(2).person_key),
            )
            await directory._writer.write(lambda db: db.conn.execute(*swap))
            found = await directory.lookup(status_of(2).person_key, budget_s=0.1)
            assert (found.outcome, found.status) == (LookupOutcome.FAILED, None)
            directory.ask = platform_knows
            assert (await directory.lookup(status_of(2).person_key, budget_s=0.1)).source == "platform"
            await source.put([msgspec.structs.replace(status_of(2), lists=("watch",))])
            assert not await directory.take(await source.page(directory.request()))
            await fetch(source, directory)
            healed: HealthStatus | None = await known(directory, 2)
            assert healed is not None
            assert healed.lists == ("watch",)
            await directory._writer.write(lambda db: db.conn.execute(*swap))
        async with Directory.opened(path, cipher=cipher) as directory:
            assert directory.cursor == 0  # it is found at the next start, and fetched again
            assert list(tmp_path.glob("replica.db.damaged-*Z"))


async def platform_knows(person_key: str, _budget_s: float) -> QueryAnswer:
    return QueryAnswer(LookupOutcome.FOUND, msgspec.structs.replace(status_of(2), person_key=person_key))
