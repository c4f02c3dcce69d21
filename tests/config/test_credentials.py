"""A secret is located by path, in the credentials of the service, and at its source for root."""

from pathlib import Path

import pytest

from config.credentials import STORE, secret_path


def test_a_path_is_a_path() -> None:
    assert secret_path("/etc/edge-agent/box.key") == Path("/etc/edge-agent/box.key")


def test_the_service_reads_its_copy_and_root_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/edge-agent.service")
    assert secret_path("credential:staff.pin") == Path("/run/credentials/edge-agent.service/staff.pin")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert secret_path("credential:staff.pin") == STORE / "edge-agent.staff.pin"
