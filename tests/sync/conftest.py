"""Fixtures for the tests of the platform link."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sync.city import Mosquitto, mosquitto
from tests.sync.postgresql import Cluster, cluster


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker for one test."""
    with mosquitto(tmp_path / "mosquitto") as started:
        yield started


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """One PostgreSQL server for all tests that need it."""
    with cluster() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The record store of the platform: every test that uses it runs with both stores."""
    if request.param == "sqlite":
        return str(tmp_path / "records.db")
    server: Cluster = request.getfixturevalue("postgresql")
    return server.new_database()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    home = tmp_path / "disk"
    home.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(home)], check=False)
    if mounted.returncode:
        pytest.skip("mounting needs root")
    yield home
    subprocess.run(["umount", str(home)], check=True)
