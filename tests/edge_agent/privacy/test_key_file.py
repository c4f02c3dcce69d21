"""The key that personal data are sealed with: made once, missed when it is gone, refused when others may read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.errors import SettingsError
from config.settings import Settings, parse_settings
from edge_agent.commands.cli import app
from edge_agent.privacy.key_file import load_cipher_if_present, load_or_make_cipher
from sync.edge.directory.directory import Directory


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return parse_settings(text_of(tmp_path))


def text_of(folder: Path) -> str:
    return f'[box]\ndata_dir = "{folder}"\n[privacy]\nkey_file = "{folder / "etc" / "at-rest.key"}"\n'


def test_the_first_start_makes_the_key_and_the_next_ones_use_it(settings: Settings, tmp_path: Path) -> None:
    assert load_cipher_if_present(settings) is None
    (tmp_path / "etc").mkdir()
    first = load_or_make_cipher(settings)
    assert load_or_make_cipher(settings).key_id == first.key_id
    opener = load_cipher_if_present(settings)
    assert opener is not None
    assert opener.key_id == first.key_id


def test_where_it_cannot_be_made_the_remedy_is_told(settings: Settings) -> None:
    with pytest.raises(SettingsError, match=r"\[privacy\] key_file = .*make-key"):
        load_or_make_cipher(settings)


async def test_a_lost_key_is_missed_and_no_other_takes_its_place(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    async with Directory.opened(tmp_path / "directory.db", cipher=load_or_make_cipher(settings)):
        pass
    key = tmp_path / "etc" / "at-rest.key"
    key.unlink()
    with pytest.raises(SettingsError, match=r"请放回密钥文件.*directory\.db|directory\.db.*请放回密钥文件"):
        load_or_make_cipher(settings)
    assert not key.exists()


@pytest.mark.parametrize(
    ("content", "mode", "fault"),
    [("00" * 32, 0o644, "chmod 600"), ("00" * 31, 0o600, "64 hex"), ("zz", 0o600, "64 hex")],
)
def test_a_key_file_that_cannot_be_used_is_told(
    settings: Settings, tmp_path: Path, content: str, mode: int, fault: str
) -> None:
    path = tmp_path / "etc" / "at-rest.key"
    path.parent.mkdir()
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(SettingsError, match=fault):
        load_or_make_cipher(settings)


def test_the_command_makes_the_key_once(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "sentinel.toml").write_text(text_of(tmp_path))
    command = ["privacy", "make-key", "-c", str(tmp_path / "sentinel.toml")]
    assert CliRunner().invoke(app, command).exit_code == 0
    key = (tmp_path / "etc" / "at-rest.key").read_text()
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 2
    assert "File exists" in told.stderr
    assert (tmp_path / "etc" / "at-rest.key").read_text() == key
