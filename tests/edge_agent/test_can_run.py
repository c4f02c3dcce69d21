"""One answer to "can this run", before anything is opened: a fault for each part, none that was there before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from config.errors import SettingsError
from config.settings import Settings, parse_settings
from edge_agent.calibration.correction import FILE_NAME as CALIBRATION
from edge_agent.calibration.view.view_file import FILE_NAME as VIEW
from edge_agent.main import run_sentinel
from edge_agent.readiness.can_run import check_can_run, check_change, find_faults


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one section, and the check of doctor that looks at it."""

    section: str
    values: dict[str, object]
    check: str


CHANGES = [
    Change("camera", {"source": "RTSP://h"}, "camera"),
    Change("camera", {"source": "rtsp://[::1/live"}, "camera"),
    Change("thermometer", {"driver": "pyrousb", "baud": 115200}, "thermometer"),
    Change("thermometer", {"port": "usb:1a86"}, "thermometer"),
    Change("ranger", {"driver": "tof10120", "port": "usb@"}, "ranger"),
    Change("reader", {"port": ""}, "reader"),
    Change("card_reader", {"driver": "sam-v", "port": "usb:x:y"}, "card_reader"),
    Change("gate", {"driver": "lcus", "port": "usb:zz"}, "gate"),
    Change("gate", {"driver": "lcus", "port": "/dev/a", "passage_input": 1}, "gate"),
    Change("vision", {"detector": "yunet"}, "model"),
    Change("policy", {"file": "/nowhere.toml"}, "policy"),
    Change("platform", {"url": "mqtts://platform.example"}, "platform"),
    Change("platform", {"url": "mqtt://10.0.0.1"}, "platform"),
    Change("directory", {"community_key_file": "/nowhere"}, "community key"),
    Change("platform", {"signing_key_file": "/nowhere"}, "orders key"),
    Change("kiosk", {"host": "::"}, "kiosk port"),
]


@pytest.fixture
def good(tmp_path: Path) -> Settings:
    """Settings with which the agent starts."""
    (tmp_path / "community.key").write_text("ab" * 32)
    return parse_settings(f"""
        [box]
        data_dir = "{tmp_path / "data"}"
        [camera]
        source = "rtsp://admin:hunter2@10.0.0.9/live"
        [directory]
        community_key_file = "{tmp_path / "community.key"}"
        [platform]
        url = "mqtt://[::1]:1883"
        [privacy]
        key_file = "{tmp_path / "at-rest.key"}"
        [speaker]
        output = "null"
    """)


def changed(settings: Settings, change: Change) -> Settings:
    section = msgspec.structs.replace(getattr(settings, change.section), **change.values)
    return msgspec.structs.replace(settings, **{change.section: section})


def test_good_settings_have_no_fault_and_nothing_is_made(good: Settings, tmp_path: Path) -> None:
    assert find_faults(good) == []
    assert {path.name for path in tmp_path.iterdir()} == {"community.key"}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.section} {change.values}")
def test_each_fault_is_of_its_part(good: Settings, change: Change) -> None:
    [fault] = find_faults(changed(good, change))
    assert fault.check == change.check
    with pytest.raises(SettingsError) as caught:
        check_can_run(changed(good, change))
    assert str(caught.value) == fault.message


@pytest.mark.parametrize("file", [CALIBRATION, VIEW, "at-rest.key"])
def test_a_damaged_file_is_a_fault(good: Settings, tmp_path: Path, file: str) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / file if file.endswith(".key") else tmp_path / "data" / file
    path.write_text("{")
    path.chmod(0o600)
    assert len(find_faults(good)) == 1


def test_what_is_coming_need_not_be_there(good: Settings, tmp_path: Path) -> None:
    absent = {name: str(tmp_path / name) for name in ("cert_file", "key_file", "ca_file", "signing_key_file")}
    settings = changed(good, Change("platform", {**absent, "url": "mqtts://h"}, ""))
    settings = changed(settings, Change("directory", {"community_key_file": str(tmp_path / "key")}, ""))
    coming = {tmp_path / "cert_file", tmp_path / "signing_key_file", tmp_path / "key"}
    assert find_faults(settings, coming) == []
    assert {fault.check for fault in find_faults(settings)} == {"platform", "orders key", "community key"}
    wrong = changed(settings, Change("platform", {"url": "mqtts://h:0"}, ""))
    assert [fault.check for fault in find_faults(wrong, coming)] == ["platform"]


@pytest.mark.parametrize("change", CHANGES[:4], ids=lambda change: f"{change.section} {change.values}")
def test_a_change_may_not_add_a_fault_and_may_keep_one(good: Settings, change: Change) -> None:
    with pytest.raises(SettingsError):
        check_change(good, changed(good, change))
    faulty = changed(good, CHANGES[-1])
    check_change(faulty, faulty)
    check_change(faulty, good)
    with pytest.raises(SettingsError) as caught:
        check_change(faulty, changed(faulty, change))
    assert "kiosk" not in str(caught.value)


async def test_run_refuses_with_every_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    path = tmp_path / "sentinel.toml"
    path.write_text(
        f'[box]\ndata_dir = "{tmp_path}"\n[gate]\ndriver = "lcus"\nport = "usb:zz"\n[policy]\nfile = "/no"\n'
        f'[directory]\ncommunity_key_file = "{tmp_path}/none"\n'
    )
    with pytest.raises(SettingsError) as caught:
        await run_sentinel(path)
    assert [part for part in ("[gate]", "/no:", "[platform]", "[directory]") if part not in str(caught.value)] == []
