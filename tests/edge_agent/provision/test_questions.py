"""The questions of provision: a wrong answer is refused when it is given, and asked for again."""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner, Result

from config.errors import SettingsError
from config.settings import load_settings
from edge_agent.commands.cli import app
from edge_agent.provision.questions import Interview, Question, draft_path
from edge_agent.provision.settings_file import checked_settings, read_sections, write_settings
from sync.contract.enrolment import Invitation
from tests.edge_agent.provision.terminal import on_terminal

SHEET = str(Invitation("https://city.example:8443", "SN-OF-ANOTHER", "A" * 20, "0" * 64))
PIN = "918273"


LOOPBACK = "mqtt://127.0.0.1:1883"  # a box without a certificate may use it


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "community.key").write_text(secrets.token_hex(32), encoding="ascii")
    public = Ed25519PrivateKey.generate().public_key()
    (tmp_path / "orders.pub").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return tmp_path / "etc" / "sentinel.toml"


def test_each_wrong_answer_is_asked_for_again_in_place(config: Path, tmp_path: Path) -> None:
    with on_terminal("provision", "--config", str(config)) as terminal:
        for prompt, wrong, why, right in [
            ("Name of the checkpoint", "", "length >= 1", "南门 South gate"),
            ("Lane", "x" * 21, "length <= 20", "2"),
            ("Direction", "north", "'north'", "out"),
            ("Language", "fr", "'fr'", "yue"),
            ("Platform, ", "http://x", "mqtts", LOOPBACK),
        ]:
            terminal.answer(prompt, wrong)
            terminal.expect(why)
            terminal.expect("Please answer again")
            terminal.answer(prompt, right)
        terminal.answer("Enrolment sheet", "https://example")
        terminal.expect("Please answer again")
        terminal.answer("Enrolment sheet", SHEET)
        terminal.answer("Serial number on the label", "SN-OF-NONE")
        terminal.expect("The sheet is for the box with serial SN-OF-ANOTHER")
        terminal.answer("Enrolment sheet", "")
        for prompt, wrong, right in [
            ("community key", "/nowhere", str(tmp_path / "community.key")),
            ("signing key", str(tmp_path / "community.key"), str(tmp_path / "orders.pub")),
            ("Staff PIN", "123456", PIN),
        ]:
            terminal.answer(prompt, wrong, hidden=prompt == "Staff PIN")
            terminal.expect("Please answer again")
            terminal.answer(prompt, right, hidden=prompt == "Staff PIN")
        terminal.answer("Look for connected devices?", "maybe")
        terminal.answer("Look for connected devices?", "n")
        assert terminal.ended() == 0, terminal.shown
    settings = load_settings(config)
    assert (settings.box.checkpoint, settings.box.lane, settings.box.direction) == ("南门 South gate", "2", "out")
    assert (settings.speaker.language, settings.platform.url) == ("yue", LOOPBACK)
    assert PIN not in terminal.shown and "Traceback" not in terminal.shown
    assert not draft_path(config).exists()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mqtt://platform.example:1883", "loopback only"),
        ("mqtts://user:word@platform.example", "must not contain a user name"),
        ("mqtts://platform.example:99999", "must be 1 to 65535"),
    ],
)
def test_an_address_that_could_not_be_used_is_refused_at_its_question(config: Path, url: str, why: str) -> None:
    asked = interview(config, ["South gate", "1", "in", "en", url, "mqtts://platform.example:8883", "", "", "", ""])
    assert [key for key, _ in asked.put] == [
        *("checkpoint", "lane", "direction", "language", "platform_url", "platform_url"),
        *("invitation", "community_key", "signing_key", "staff_pin"),
    ]
    assert why in asked.said[0]


class Asked:
    """The questions that were put with what was offered, and the messages."""

    def __init__(self) -> None:
        self.put: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.answers: dict[str, str] = {}


def interview(config: Path, answers: Iterable[str], serial: str = "SN-1") -> Asked:
    asked, typed = Asked(), iter(answers)

    def ask(question: Question, offered: str) -> str:
        asked.put.append((question.key, offered))
        return next(typed) or offered

    asked.answers = Interview(config, serial, ask, asked.said.append).answers()
    return asked


def test_a_label_that_agrees_with_the_sheet_is_an_answer(config: Path) -> None:
    typed = ["South gate", "1", "in", "en", "", SHEET, "", SHEET, "SN-OF-ANOTHER", "", "", ""]
    asked = interview(config, typed)
    assert (asked.answers["invitation"], asked.answers["serial"]) == (SHEET, "SN-OF-ANOTHER")
    assert len(asked.said) == 1  # for the empty label
    assert [key for key, _ in interview(config, [*typed[:5], SHEET, "", "", ""], "SN-OF-ANOTHER").put].count(
        "serial"
    ) == 0


def provision(config: Path, *typed: str) -> Result:
    return CliRunner().invoke(app, ["provision", "--config", str(config)], input="".join(f"{line}\n" for line in typed))


def test_what_was_answered_is_offered_again_and_secrets_are_not_kept(config: Path, tmp_path: Path) -> None:
    community = str(tmp_path / "community.key")
    typed = ["South gate", "7", "out", "yue", LOOPBACK, SHEET, "SN-OF-ANOTHER", community, "", PIN]
    broken_off = provision(config, *typed)
    assert broken_off.exit_code == 1
    assert str(draft_path(config)) in broken_off.output
    assert not config.exists()
    draft = draft_path(config).read_text()
    assert stat.S_IMODE(draft_path(config).stat().st_mode) == 0o600
    assert PIN not in draft and "A" * 20 not in draft
    assert json.loads(draft)["checkpoint"] == "South gate"
    done = provision(config, "", "", "out", "", "", "", "", "", "", "n")
    assert done.exit_code == 0, done.output
    assert "方括号里是上次的回答" in done.output
    settings = load_settings(config)
    assert (settings.box.checkpoint, settings.box.lane, settings.box.direction) == ("South gate", "7", "out")
    assert (settings.speaker.language, settings.platform.url) == ("yue", LOOPBACK)
    assert not draft_path(config).exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"lane": 3}', b"\xff"])
def test_a_draft_that_cannot_be_read_offers_nothing(config: Path, content: bytes) -> None:
    draft_path(config).write_bytes(content)
    asked = interview(config, ["South gate", "1", "in", "en", "", "", "", "", ""])
    assert asked.put[:2] == [("checkpoint", ""), ("lane", "1")]
    assert asked.said == []


def test_the_present_settings_are_offered(config: Path) -> None:
    config.write_text('[box]\ncheckpoint = "North gate"\nlane = "4"\ndirection = "out"\n[speaker]\nlanguage = "en"\n')
    asked = interview(config, [""] * 9)
    assert asked.put[:4] == [("checkpoint", "North gate"), ("lane", "4"), ("direction", "out"), ("language", "en")]


@pytest.mark.parametrize("settings", ["[box", "[box]\nlane = 3\n", '[box]\nlanes = "3"\n'])
def test_settings_that_cannot_be_read_are_reported_before_the_first_question(config: Path, settings: str) -> None:
    config.write_text(settings)
    assert provision(config).exit_code == 2
    with pytest.raises(SettingsError):
        interview(config, [])


def test_where_nothing_can_be_written_nothing_is_asked(tmp_path: Path) -> None:
    ended = provision(tmp_path / "absent" / "sentinel.toml")
    assert ended.exit_code == 2
    assert "install first" in ended.output and "checkpoint" not in ended.output


def installed() -> dict[str, float]:
    """What the installed box has, with the times of its last changes."""
    folders = [Path("/etc/edge-agent"), Path("/etc/credstore"), Path("/var/lib/edge-agent")]
    paths = [path for folder in folders if folder.exists() for path in (folder, *folder.rglob("*"))]
    return {str(path): path.lstat().st_mtime for path in paths}


def test_settings_elsewhere_have_everything_beside_them(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = installed()
    monkeypatch.chdir(config.parent)
    typed = ["South gate", "1", "in", "en", LOOPBACK, "", str(tmp_path / "community.key"), "", PIN, "n"]
    done = provision(Path("sentinel.toml"), *typed)
    assert done.exit_code == 0, done.output
    assert installed() == before
    settings = load_settings(config)
    named = [settings.box.data_dir, settings.directory.community_key_file, settings.privacy.key_file]
    assert {Path(path).parent for path in (*named, settings.staff.pin_hash_file)} == {config.parent}
    assert {path.name for path in config.parent.iterdir()} == {
        *("sentinel.toml", "data", "community.key", "at-rest.key", "staff.pin")
    }
    assert provision(config, *[""] * 9, "n").exit_code == 0
    assert load_settings(config) == settings


def test_a_path_that_the_file_names_stays(config: Path) -> None:
    for text in ('data_dir = "/var/lib/edge-agent"', f'data_dir = "{os.sep}srv/data"'):
        config.write_text(f"[box]\n{text}\n")
        settings = checked_settings(read_sections(config))
        assert settings.box.data_dir == text.split('"')[1]
        assert settings.privacy.key_file == str(config.parent / "at-rest.key")
        write_settings(config, settings)
        assert checked_settings(read_sections(config)) == settings
    config.write_text('[staff]\npin_hash_file = "credential:staff.pin"\n')
    assert checked_settings(read_sections(config)).staff.pin_hash_file == "credential:staff.pin"


def test_the_installed_settings_keep_their_places() -> None:
    sections = read_sections(Path("/etc/edge-agent/no-such-settings.toml"))
    assert checked_settings(sections).box.data_dir == "/var/lib/edge-agent"
