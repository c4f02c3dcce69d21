"""Faults planted on a box that is well: doctor names the right remedy for each, and calls nothing else broken."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from config.catalogue import PROMPTS_DIR
from drivers.simulated.camera import CameraMode
from drivers.simulated.thermal import ThermalScene, WarmFace
from edge_agent.calibration import Calibration, Point, save_calibration
from tests.agent.town import free_port
from tests.doctor.well import City, WellBox, city, red, well_box
from tests.sync.certificates import HOUR, Authority
from tests.sync.city import mosquitto


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with city(tmp_path_factory.mktemp("city")) as running:
        yield running


@pytest.fixture
async def box(tmp_path: Path, town: City, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WellBox]:
    monkeypatch.setenv("PATH", f"{tmp_path}/root/bin{os.pathsep}{os.environ['PATH']}")
    async with well_box(tmp_path, town) as running:
        yield running


async def test_a_box_that_is_well_is_called_so(box: WellBox) -> None:
    sheet = await box.examined()
    assert len(sheet) >= 20
    assert {name: finding.line() for name, finding in sheet.items() if not finding.passed} == {}
