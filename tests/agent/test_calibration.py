"""A calibration is computed, refused where it makes no sense, kept with its past and used until it expires."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.errors import SettingsError
from config.settings import Thermometer
from drivers.simulated.thermal import SimulatedThermometer, WarmFace
from drivers.simulated.wire import PtyWire
from edge_agent.black_body import read_point
from edge_agent.calibration import (
    FILE_NAME,
    BadCalibration,
    Calibration,
    Point,
    calibrated,
    load_calibration,
    made_of,
    point_of,
    save_calibration,
)
from edge_agent.cli import app

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def made(*points: tuple[float, float], driver: str = "gy-mcu90640") -> Calibration:
    return made_of(
        tuple(Point(reference_c, read_c, 0.1, 20) for reference_c, read_c in points),
        0.1,
        driver=driver,
        serial="A1",
        by="installer",
        at=NOW,
        expires_at=NOW + timedelta(days=365),
        ambient_c=22.0,
    )


def test_two_points_give_offset_and_residual() -> None:
    calibration = made((35.0, 34.2), (39.0, 38.0))
    assert calibration.offset_c == pytest.approx(0.9)
    assert calibration.residual_c == pytest.approx(0.1)
    assert calibration.uncertainty_c == pytest.approx(0.173, abs=0.001)


@pytest.mark.parametrize(
    ("points", "why"),
    [
        ([(35.0, 34.2)], "two black-body"),
        ([(35.0, 34.2), (36.0, 35.2)], "apart"),
        ([(35.0, 24.0), (39.0, 28.0)], "off"),
        ([(35.0, 35.0), (39.0, 38.0)], "left"),
    ],
)
def test_nonsense_is_refused(points: list[tuple[float, float]], why: str) -> None:
    with pytest.raises(BadCalibration, match=why):
        made(*points)


@pytest.mark.parametrize(
    ("reference_c", "read_c", "why"),
    [(100.0, [100.0] * 9, "says nothing"), (35.0, [35.0] * 3, "are needed"), (35.0, [34.0, 36.0] * 5, "scatter")],
)
def test_a_bad_point_is_refused(reference_c: float, read_c: list[float], why: str) -> None:
    with pytest.raises(BadCalibration, match=why):
        point_of(reference_c, read_c)


def test_it_is_kept_and_used(tmp_path: Path) -> None:
    assert load_calibration(tmp_path) is None
    calibration = made((35.0, 34.2), (39.0, 38.2))
    save_calibration(calibration, tmp_path)
    assert load_calibration(tmp_path) == calibration
    settings = calibrated(Thermometer(), tmp_path, NOW)
    assert (settings.offset_c, settings.sensor_uncertainty_c) == (calibration.offset_c, calibration.uncertainty_c)


def test_an_expired_one_counts_with_more_doubt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    calibration = made((35.0, 34.2), (39.0, 38.2))
    save_calibration(calibration, tmp_path)
    late = calibrated(Thermometer(), tmp_path, calibration.expires_at)
    assert late.sensor_uncertainty_c == 2 * calibration.uncertainty_c
    assert "expired" in caplog.text


def test_that_of_another_sensor_is_not_used(tmp_path: Path) -> None:
    save_calibration(made((35.0, 34.2), (39.0, 38.2), driver="gy-mcu90614"), tmp_path)
    assert calibrated(Thermometer(), tmp_path, NOW) == Thermometer()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("{}", encoding="utf-8")
    with pytest.raises(SettingsError, match=FILE_NAME):
        load_calibration(tmp_path)


@pytest.fixture
async def black_body(tmp_path: Path) -> AsyncIterator[SimulatedThermometer]:
    """A module that looks at something of 35 °C which fills its view."""
    body = WarmFace(centre_x=0.5, centre_y=0.5, width=4.0, height=4.0, skin_max_c=35.0)
    sensor = SimulatedThermometer(PtyWire(tmp_path / "thermometer"), lambda: body, seed=3)
    sensor.plug()
    running = asyncio.create_task(sensor.run())
    yield sensor
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    sensor.unplug()


async def test_the_real_driver_reads_the_point(black_body: SimulatedThermometer, tmp_path: Path) -> None:
    chosen = Thermometer(port=str(tmp_path / "thermometer"))
    point, ambients_c = await asyncio.to_thread(read_point, chosen, 35.0, 1.5)
    assert point.read_c == pytest.approx(35.0, abs=0.4)
    assert ambients_c == pytest.approx([24.0] * point.readings)


async def test_the_command_refuses_two_equal_black_bodies(black_body: SimulatedThermometer, tmp_path: Path) -> None:
    config = tmp_path / "box.toml"
    config.write_text(
        f"[box]\ndata_dir = {json.dumps(str(tmp_path))}\n"
        f"[thermometer]\nport = {json.dumps(str(tmp_path / 'thermometer'))}\n",
        encoding="utf-8",
    )
    words = ["calibrate", "thermometer", "--by", "me", "--reference", "35", "--reference", "35", "--yes"]
    shown = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--seconds", "1.5", "--config", str(config)])
    assert shown.exit_code == 1
    assert "apart" in shown.output
    assert load_calibration(tmp_path) is None
