"""The support bundle: what helpers need is in it, and what was planted to leak is not."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.settings import KioskSettings, Settings, parse_settings
from edge_agent.commands.cli import app
from edge_agent.diagnostics.bundle import Bundle, secrets_from, write_bundle
from edge_agent.diagnostics.bundle_contents import collect
from edge_agent.diagnostics.status_report import to_plain
from edge_agent.privacy.findings import PersonalDataKind
from edge_agent.privacy.scanner import kinds_in
from edge_agent.staff.pin import write_pin
from tests.edge_agent.kiosk.stand import Stand, changed
from tests.edge_agent.privacy.test_privacy_scan import PHONE, id_number, nobody

PASSWORD = "hunter2-very-long"  # noqa: S105 - planted


def look(data: bytes) -> set[PersonalDataKind]:
    return kinds_in(data, nobody)


def contents(path: Path) -> dict[str, bytes]:
    """Every part by name."""
    with tarfile.open(path) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name.removeprefix("edge-agent-bundle/"): file.read() for name, file in files.items() if file}


@pytest.fixture
def box(tmp_path: Path) -> Settings:
    """A box with every kind of secret, and numbers where none should be."""
    etc, data = tmp_path / "etc", tmp_path / "data"
    etc.mkdir()
    data.mkdir()
    for name in ("community.key", "at-rest.key"):
        (etc / name).write_text(f"{secrets.token_hex(32)}\n")
    (etc / "box.key").write_text(f"-----BEGIN PRIVATE KEY-----\n{secrets.token_hex(24)}\n-----END PRIVATE KEY-----\n")
    write_pin(etc / "staff.pin", "271828")
    (data / f"passage of {id_number()}.txt").write_text(id_number())
    (data / "ledger.db").write_bytes(bytes(5000))
    text = f"""
        [box]
        data_dir = "{data}"
        checkpoint = "ring {PHONE}"
        [camera]
        source = "rtsp://admin:{PASSWORD}@127.0.0.1:9/live?token={PASSWORD}"
        [thermometer]
        port = "/dev/none"
        [directory]
        community_key_file = "{etc / "community.key"}"
        [platform]
        url = "mqtts://box:{PASSWORD}@127.0.0.1:9"
        key_file = "{etc / "box.key"}"
        [privacy]
        key_file = "{etc / "at-rest.key"}"
        [staff]
        pin_hash_file = "{etc / "staff.pin"}"
        [kiosk]
        port = 9
        [speaker]
        output = "null"
    """
    (etc / "sentinel.toml").write_text(text)
    return parse_settings(text)


def test_nothing_that_was_planted_gets_out(box: Settings, tmp_path: Path) -> None:
    etc, out = tmp_path / "etc", tmp_path / "bundle.tar.gz"
    told = CliRunner().invoke(app, ["bundle", "-c", str(etc / "sentinel.toml"), "--out", str(out)])
    assert told.exit_code == 0, told.output
    assert out.stat().st_mode & 0o777 == 0o600
    parts = contents(out)
    planted = [PASSWORD, PHONE, id_number(), *(line.decode() for line in secrets_from(box) if line)]
    assert len(planted) >= 8
    for text in (*(part.decode() for part in parts.values()), told.output):
        assert not [secret for secret in planted if secret in text]
    assert {"versions.json", "doctor.json", "files.txt", "os-release.txt", "manifest.json"} <= parts.keys()
    manifest = json.loads(parts["manifest.json"])
    assert manifest["left_out"]["settings.json"] == "phone_number"
    assert manifest["left_out"]["files.txt: 1 lines"] == "personal or secret"
    assert "settings.json: 未收入。 Left out: phone_number" in told.output
    assert b"ledger.db" in parts["files.txt"]
    assert str(etc / "at-rest.key").encode() in parts["files.txt"]


def test_settings_go_in_with_paths_and_without_passwords(box: Settings, tmp_path: Path) -> None:
    bundle, out = Bundle(secrets_from(box), look), tmp_path / "b.tar.gz"
    bundle.add_json("settings.json", {"source": box.camera.source, "key_file": box.platform.key_file})
    write_bundle(out, bundle.packed())
    settings = json.loads(contents(out)["settings.json"])
    assert settings == {"source": "rtsp://***@127.0.0.1:9/***", "key_file": str(tmp_path / "etc" / "box.key")}


def test_secrets_that_systemd_keeps_are_known_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    key = secrets.token_hex(32)
    (tmp_path / "community.key").write_text(f"{key}\n")
    assert key.encode() in secrets_from(Settings())


def test_a_log_loses_its_lines_and_other_parts_go_whole(box: Settings, tmp_path: Path) -> None:
    key = Path(box.directory.community_key_file).read_text().strip()
    bundle, out = Bundle(secrets_from(box), look), tmp_path / "b.tar.gz"
    bundle.add_log("log.txt", f"good\ncalled {PHONE}\nkey {key}\n{id_number()}\ncamera rtsp://a:b@host/x\n")
    bundle.add_json("key.json", {"key": key})
    bundle.add_json("person.json", {"number": id_number()})
    bundle.add_json("good.json", {"passages": 3})
    write_bundle(out, bundle.packed())
    parts = contents(out)
    assert parts["log.txt"] == b"good\ncamera rtsp://***@host/***\n"
    assert json.loads(parts["manifest.json"])["left_out"] == {
        "log.txt: 3 lines": "personal or secret",
        "key.json": "secret",
        "person.json": "id_number",
    }
    assert sorted(parts) == ["good.json", "log.txt", "manifest.json"]


def test_a_box_with_broken_settings_can_still_be_helped(tmp_path: Path) -> None:
    bundle, out = Bundle((), look), tmp_path / "b.tar.gz"
    fault = "sentinel.toml: [camera] source = 'rtsp://a:secret@host': wrong"
    collect(bundle, Settings(), fault, tmp_path / "sentinel.toml", [], {"sentinel-gate": "1"}, b"")
    write_bundle(out, bundle.packed())
    parts = contents(out)
    assert parts["settings-fault.txt"] == b"sentinel.toml: [camera] source = 'rtsp://***@host': wrong\n"
    assert "settings.json" not in parts


async def test_the_state_of_a_running_agent_goes_in_without_the_person_before_it(tmp_path: Path) -> None:
    stand = Stand()
    stand.report = {"view": to_plain(changed(temperature_c=38.4, verdict="refuse", reasons=("fever",)))}
    await stand.start()
    bundle, out = Bundle((), look), tmp_path / "b.tar.gz"
    settings = Settings(kiosk=KioskSettings(port=stand.port))
    await asyncio.to_thread(collect, bundle, settings, "", tmp_path / "sentinel.toml", [], {}, b"")
    await stand.stop()
    write_bundle(out, bundle.packed())
    status = json.loads(contents(out)["status.json"])
    assert (status["view"]["passages"], "38.4" in str(status), "fever" in str(status)) == (7, False, False)


def test_what_is_no_file_is_not_replaced_by_a_bundle(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match="not a file"):
        write_bundle(pipe, Bundle((), look).packed())
    assert (pipe.is_fifo(), [*tmp_path.iterdir()]) == (True, [pipe])


def test_a_bundle_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    bundle = Bundle((), look)
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_bundle(tmp_path / "taken", bundle.packed())
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
