"""A secret is located by path, in the credentials of the service, and at its source for root."""

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config import credentials
from config.credentials import STORE, secret_path
from edge_agent.commands.cli import app


def test_a_path_is_a_path() -> None:
    assert secret_path("/etc/edge-agent/box.key") == Path("/etc/edge-agent/box.key")


def test_the_service_reads_its_copy_and_root_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/edge-agent.service")
    assert secret_path("credential:staff.pin") == Path("/run/credentials/edge-agent.service/staff.pin")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert secret_path("credential:staff.pin") == STORE / "edge-agent.staff.pin"


@pytest.mark.parametrize(
    ("words", "answer", "name"),
    [(("staff", "set-pin"), "918273\n", "staff.pin"), (("privacy", "make-key"), "", "at-rest.key")],
)
def test_a_secret_is_written_where_its_folder_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], answer: str, name: str
) -> None:
    store = tmp_path / "etc" / "credstore"
    monkeypatch.setattr(credentials, "STORE", store)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    config = tmp_path / "sentinel.toml"
    config.write_text(
        f'[box]\ndata_dir = "{tmp_path}"\n[staff]\npin_hash_file = "credential:staff.pin"\n'
        '[privacy]\nkey_file = "credential:at-rest.key"\n'
    )
    done = CliRunner().invoke(app, [*words, "--config", str(config)], input=answer)
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    assert [(path.name, stat.S_IMODE(path.stat().st_mode)) for path in store.iterdir()] == [
        (f"edge-agent.{name}", 0o600)
    ]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = tmp_path / "sentinel.toml"
    config.write_text(f'[staff]\npin_hash_file = "{tmp_path}/file/store/staff.pin"\n')
    done = CliRunner().invoke(app, ["staff", "set-pin", "--config", str(config)], input="918273\n")
    assert done.exit_code == 2
    assert "cannot be written" in done.output and "Traceback" not in done.output
