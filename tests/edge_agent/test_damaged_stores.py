"""Every store of a box that is emptied, removed or damaged is set aside, reported once, and forgotten in time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from config.settings import BoxSettings, PrivacySettings, RecognitionSettings, Settings
from edge_agent.box.wall_clock import WallClock
from edge_agent.faces.register import FaceRegister
from edge_agent.stores import opened_stores
from sync.contract.records import AlarmRaised, Deleted
from sync.edge.ledger.ledger import Ledger
from sync.edge.ledger.retention import Retention
from sync.storage.encryption import KEY_BYTES, KeyedCipher
from tests.edge_agent.clocks import moment
from tests.edge_agent.faces.stand import NOW, agreed, key_of, unit

DAY_S = 86_400.0
CIPHER = KeyedCipher(bytes(range(KEY_BYTES)))
STORES = ["ledger.db", "directory.db", "orders.db", "faces.db"]


def cut(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


def flip_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)


def flip_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096] ^= 0x10
    path.write_bytes(content)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        box=BoxSettings(data_dir=str(tmp_path / "data")),
        privacy=PrivacySettings(key_file=str(tmp_path / "at-rest.key")),
        recognition=RecognitionSettings(enabled=True),
    )


async def alarms(ledger: Ledger) -> list[tuple[str, str]]:
    records = [row.record() for row in await ledger.recent(100)]
    return [(each.kind, each.subject) for each in records if isinstance(each, AlarmRaised)]


@pytest.mark.parametrize("damage", [cut, remove, flip_header, flip_page])
@pytest.mark.parametrize("name", STORES)
async def test_a_damaged_store_is_an_alarm_and_its_file_is_forgotten_in_time(
    settings: Settings, name: str, damage: Callable[[Path], None]
) -> None:
    folder = Path(settings.box.data_dir)
    async with opened_stores(settings, WallClock()) as stores:
        assert await alarms(stores.ledger) == []
    damage(folder / name)
    part = name.removesuffix(".db")
    for _ in range(2):
        async with opened_stores(settings, WallClock()) as stores:
            assert await alarms(stores.ledger) == [(f"{part}_damaged", part)]
            [aside] = folder.glob(f"{name}.damaged-*Z")
            await stores.ledger.forget(Retention(DAY_S, DAY_S))
            assert aside.exists()
    async with opened_stores(settings, WallClock()) as stores:
        os.utime(aside, (time.time() - 2 * DAY_S,) * 2)
        await stores.ledger.forget(Retention(DAY_S, DAY_S))
        assert not list(folder.glob(f"{name}.damaged-*"))
        counts = [record.counts for row in await stores.ledger.recent(9) if isinstance(record := row.record(), Deleted)]
        assert counts == [{f"{part}_damaged": 1}]


@pytest.mark.parametrize("end", ["withdrawn", "withdrawn by number", "expired", "unreadable"])
async def test_a_register_that_was_set_aside_goes_with_the_first_consent(tmp_path: Path, end: str) -> None:
    path = tmp_path / "faces.db"
    async with FaceRegister.opened(path, CIPHER) as register:
        await register.add(key_of(1), unit(1, 0, 0), "one", agreed(10), alike=0.5)
        await register.add(key_of(2), unit(0, 1, 0), "one", agreed(30), alike=0.5)
    content = bytearray(path.read_bytes())
    if end == "unreadable":
        content[:4096] = bytes(4096)
    path.with_name("faces.db-head").unlink() if end == "unreadable" else None
    content[60] ^= 1  # the id of the key
    path.write_bytes(content)
    async with FaceRegister.opened(path, CIPHER) as register:
        assert await register.rows() == []
        assert list(tmp_path.glob("faces.db.damaged-*"))
        if end != "unreadable":
            await register.expire(moment(NOW + timedelta(days=9)))
            assert list(tmp_path.glob("faces.db.damaged-*"))
        match end:
            case "withdrawn":
                assert not await register.remove(1)
            case "withdrawn by number":
                assert not await register.remove_person(key_of(2))
            case _:
                await register.expire(moment(NOW + timedelta(days=11 if end == "expired" else 0)))
        assert not list(tmp_path.glob("faces.db.damaged-*"))
