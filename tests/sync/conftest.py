"""Fixtures of the city link."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sync.city import Mosquitto, mosquitto


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker of one test's own."""
    with mosquitto(tmp_path / "mosquitto") as started:
        yield started
