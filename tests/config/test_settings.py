"""Settings: the example contains every key, and every fault is reported with what is accepted."""

import json
import tomllib
from pathlib import Path

import msgspec
import pytest

from config.errors import SettingsError
from config.settings import Settings, load_settings, parse_settings
from config.toml_file import MOST_BYTES
from edge_agent.policy.rules import load_policy

EXAMPLE = Path(__file__).parents[2] / "config" / "sentinel.example.toml"


def test_the_example_names_every_setting_with_its_default() -> None:
    assert tomllib.loads(EXAMPLE.read_text(encoding="utf-8")) == json.loads(msgspec.json.encode(Settings()))


def test_no_file_content_means_defaults() -> None:
    assert parse_settings("") == Settings()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[gate]\npuls_ms = 700", ["[gate] puls_ms", "no such key", "did you mean pulse_ms"]),
        ("[gate]\nnonsense = 1", ["[gate] nonsense", "accepted: driver, port, channel, pulse_ms"]),
        ("[gate]\npulse_ms = 5", ["[gate] pulse_ms = 5", ">= 100"]),
        ('[gate]\npulse_ms = "0.7 s"', ["[gate] pulse_ms = '0.7 s'", "`int`"]),
        ("[camera]\nfps = nan", ["[camera] fps = nan"]),
        ('[vision]\ndetector = "magic"', ["[vision] detector = 'magic'", "accepted: sentinel, yunet, scrfd"]),
        ('[box]\nname = "Box A"', ["[box] name = 'Box A'", "a-z, 0-9 and -"]),
        ('[ranger]\ndriver = "lidar"', ["[ranger] driver = 'lidar'", "accepted: none, tof10120, evo-mini, tofsense"]),
        ("[ranger]\nbaud = -1", ["[ranger] baud = -1", ">= 0"]),
        ("gate = 3", ["gate = 3", "section [gate]"]),
        ("[gat]", ["[gat]", "did you mean gate?"]),
        ("[thermometer]\ncovers = [0, 0, 1, 7]", ["covers", "<= 1"]),
        ("[thermometer]\ncovers = [0, 0, 0, 1]", ["covers", "> 0"]),
        ("[box", ["not valid TOML"]),
        ("box = " + "[" * 5000, ["not valid TOML", "too deeply"]),
        ("#" * (MOST_BYTES + 1), ["larger than 1024 KiB"]),
        ("[gate]\npulse_ms = 5\n[camera]\nfps = 0", ["[gate] pulse_ms", "[camera] fps"]),
    ],
)
def test_faults_are_named(text: str, parts: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text)
    for part in parts:
        assert part in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: 无法读取 cannot be read"):
        load_settings(tmp_path / "absent.toml")


def test_an_endless_file_is_rejected() -> None:
    with pytest.raises(SettingsError, match="/dev/zero: larger than"):
        load_settings(Path("/dev/zero"))


def test_a_large_file_that_is_cut_within_a_character_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "sentinel.toml"
    path.write_text("#" * MOST_BYTES + "\u95e8", encoding="utf-8")
    with pytest.raises(SettingsError, match=rf"{path}: larger than 1024 KiB"):
        load_settings(path)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sentinel.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="UTF-8"):
        load_settings(path)


def test_every_fault_of_a_file_carries_its_path(tmp_path: Path) -> None:
    path = tmp_path / "sentinel.toml"
    path.write_text("[gate]\npulse_ms = 5\n[camera]\nfps = 0", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert all(line.startswith(str(path)) for line in str(caught.value).splitlines())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_settings_may_be_saved_by_any_editor(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "sentinel.toml"
    path.write_bytes('[box]\r\ncheckpoint = "东门"\r\n'.encode(encoding))
    if encoding != "utf-16-le":  # without a byte order mark
        assert load_settings(path).box.checkpoint == "东门"
    else:
        with pytest.raises(SettingsError, match=r"sentinel\.toml: .* Save it as UTF-8"):
            load_settings(path)


def test_a_policy_may_be_saved_by_any_editor(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes("version = 7\n".encode("utf-16"))
    assert load_policy(path).version == 7
