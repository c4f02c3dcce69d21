"""A calibration is computed, refused where it makes no sense, kept with its past and used until it expires."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from config.errors import SettingsError
from config.settings import Settings, ThermometerSettings
from drivers.simulated.devices.thermal_scene import SimulatedThermometer, WarmFace
from drivers.simulated.devices.wire import PtyWire
from edge_agent.box.versioned_file import previous
from edge_agent.calibration.black_body import read_point
from edge_agent.calibration.correction import (
    FILE_NAME,
    Calibration,
    CalibrationPoint,
    calibration_from,
    load_calibration,
    point_from,
    save_calibration,
)
from edge_agent.calibration.errors import BadCalibration
from edge_agent.commands.cli import app
from edge_agent.measurement.calibrated_sensor import CalibratedSensor
from edge_agent.measurement.screening import SkinSensor
from sync.storage.checked_json import decode_checked
from tests.edge_agent.clocks import moment
from tests.limits import HANG_S
from tests.ports import free_port

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def made(*points: tuple[float, float], driver: str = "gy-mcu90640") -> Calibration:
    return calibration_from(
        tuple(CalibrationPoint(reference_c, read_c, 0.1, 20) for reference_c, read_c in points),
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
        ([(100.0, 100.0), (35.0, 35.0)], "outside the range of skin"),
        ([(35.0, 35.0), (float("nan"), 39.0)], "outside the range of skin"),
        ([(35.0, 34.2)], "Two black-body"),
        ([(35.0, 34.2), (36.0, 35.2)], "apart"),
        ([(35.0, 24.0), (39.0, 28.0)], "off"),
        ([(35.0, 35.0), (39.0, 38.0)], "remain"),
    ],
)
def test_nonsense_is_refused(points: list[tuple[float, float]], why: str) -> None:
    with pytest.raises(BadCalibration, match=why):
        made(*points)


@pytest.mark.parametrize(
    ("reference_c", "read_c", "why"),
    [(35.0, [35.0] * 3, "are needed"), (35.0, [34.0, 36.0] * 5, "scatter")],
)
def test_a_bad_point_is_refused(reference_c: float, read_c: list[float], why: str) -> None:
    with pytest.raises(BadCalibration, match=why):
        point_from(reference_c, read_c)


def sensor(folder: Path) -> SkinSensor:
    return CalibratedSensor(ThermometerSettings(), folder, lambda: moment(NOW))()


def test_it_is_kept_and_used(tmp_path: Path) -> None:
    assert load_calibration(tmp_path) is None
    calibration = made((35.0, 34.2), (39.0, 38.2))
    save_calibration(calibration, tmp_path)
    assert load_calibration(tmp_path) == calibration
    assert sensor(tmp_path) == SkinSensor(calibration.offset_c, calibration.uncertainty_c)


YEAR = timedelta(days=365)
CLOCKS = {
    "valid": (moment(NOW), 1, ""),
    "valid until the last minute": (moment(NOW + YEAR - timedelta(minutes=2), error_s=60.0), 1, ""),
    "expired": (moment(NOW + YEAR, error_s=0.0), 2, "expired on 2027-11-23"),
    "expired less the error": (moment(NOW + YEAR + timedelta(minutes=2), error_s=60.0), 2, "expired"),
    "by less than the error": (moment(NOW + YEAR - timedelta(seconds=30), error_s=60.0), 2, "clock not in sync"),
    "over by less than the error": (moment(NOW + YEAR + timedelta(seconds=30), error_s=60.0), 2, "clock not in sync"),
    "1970": (moment(datetime(1970, 1, 1, tzinfo=UTC), in_sync=False, error_s=None), 2, "clock not in sync"),
    "before it was made": (moment(NOW - timedelta(days=1)), 2, "clock not in sync"),
    "2031, not in sync": (moment(datetime(2031, 1, 1, tzinfo=UTC), in_sync=False, error_s=None), 2, "not in sync"),
    "now, not in sync": (moment(NOW + timedelta(days=9), in_sync=False, error_s=None), 2, "clock not in sync"),
}


@pytest.mark.parametrize("case", CLOCKS)
def test_unless_it_is_certainly_valid_it_counts_with_more_doubt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    calibration = made((35.0, 34.2), (39.0, 38.2))
    save_calibration(calibration, tmp_path)
    now, factor, said = CLOCKS[case]
    asked = CalibratedSensor(ThermometerSettings(), tmp_path, lambda: now)
    for _ in range(3):
        assert asked() == SkinSensor(calibration.offset_c, factor * calibration.uncertainty_c)
    assert len(caplog.records) == bool(said) and said in caplog.text


def test_it_expires_in_use_and_is_valid_as_soon_as_the_clock_is_known(tmp_path: Path) -> None:
    calibration = made((35.0, 34.2), (39.0, 38.2))
    save_calibration(calibration, tmp_path)
    times = [moment(NOW, in_sync=False, error_s=None), moment(NOW), moment(NOW + YEAR)]
    asked = CalibratedSensor(ThermometerSettings(), tmp_path, lambda: times.pop(0))
    factors = [round(asked().uncertainty_c / calibration.uncertainty_c) for _ in range(3)]
    assert factors == [2, 1, 2]


def test_that_of_another_sensor_is_not_used(tmp_path: Path) -> None:
    save_calibration(made((35.0, 34.2), (39.0, 38.2), driver="gy-mcu90614"), tmp_path)
    settings = ThermometerSettings()
    assert sensor(tmp_path) == SkinSensor(settings.offset_c, settings.sensor_uncertainty_c, settings.ambient_offset_c)


def test_a_changed_digit_is_noticed(tmp_path: Path) -> None:
    path = save_calibration(made((35.0, 34.2), (39.0, 38.2)), tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"offset_c": 0.8', b'"offset_c": -2.8'))
    with pytest.raises(SettingsError, match=r"checksum is wrong.*calibrate again"):
        load_calibration(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("{}", encoding="utf-8")
    with pytest.raises(SettingsError, match=FILE_NAME):
        load_calibration(tmp_path)


class BlackBody:
    """Fills the view of a module; its temperature is the test's to set."""

    def __init__(self, folder: Path) -> None:
        self.warm_c = 35.0
        self.frames = 0
        self.sensor = SimulatedThermometer(PtyWire(folder / "thermometer"), self._seen, seed=3)

    async def becomes(self, warm_c: float) -> None:
        """Set the temperature; returns when frames on the way with the former one are over."""
        self.warm_c, before = warm_c, self.frames
        while self.frames < before + 3:
            await asyncio.sleep(0.01)

    def _seen(self) -> WarmFace:
        self.frames += 1
        return WarmFace(centre_x=0.5, centre_y=0.5, width=4.0, height=4.0, skin_max_c=self.warm_c)


@pytest.fixture
async def black_body(tmp_path: Path) -> AsyncIterator[BlackBody]:
    body = BlackBody(tmp_path)
    body.sensor.plug()
    running = asyncio.create_task(body.sensor.run())
    yield body
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    body.sensor.unplug()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "box.toml"
    file.write_text(
        f"[box]\ndata_dir = {json.dumps(str(tmp_path))}\n"
        f"[thermometer]\nport = {json.dumps(str(tmp_path / 'thermometer'))}\n[kiosk]\nport = {free_port()}\n",
        encoding="utf-8",
    )
    return file


COMMAND = ["calibrate", "thermometer", "--by", "me", "--seconds", "1.5"]


async def test_the_real_driver_reads_the_point(black_body: BlackBody, tmp_path: Path) -> None:
    chosen = ThermometerSettings(port=str(tmp_path / "thermometer"))
    point, ambients_c = await asyncio.to_thread(read_point, Settings(thermometer=chosen), 35.0, 1.5)
    assert point.read_c == pytest.approx(35.0, abs=0.4)
    assert ambients_c == pytest.approx([24.0] * point.readings)


async def test_the_installer_is_led_from_one_black_body_to_the_next(
    black_body: BlackBody, config: Path, tmp_path: Path
) -> None:
    words = [*COMMAND, "--reference", "35", "--reference", "39", "--serial", "A1", "--config", str(config), "--json"]
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge_agent.commands.cli", *words, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert command.stdin is not None
    assert command.stderr is not None
    async with asyncio.timeout(HANG_S):
        for asked, body_c in ((b"35 \xc2\xb0C fill the view", 34.6), (b"39 \xc2\xb0C fill the view", 38.6)):
            await command.stderr.readuntil(asked)
            await black_body.becomes(body_c)
            command.stdin.write(b"\n")
        shown = await command.stderr.readuntil(b"Save it?")
        stdout, _ = await command.communicate(b"y\n")
    assert "残差 residual" in shown.decode()
    assert command.returncode == 0
    kept = load_calibration(tmp_path)
    assert kept == msgspec.json.decode(stdout, type=Calibration)
    assert kept is not None
    assert (kept.by, kept.serial, kept.driver) == ("me", "A1", "gy-mcu90640")
    assert kept.offset_c == pytest.approx(0.4, abs=0.4)
    assert kept.ambient_c == pytest.approx(24.0, abs=0.1)
    assert kept.expires_at - kept.at == timedelta(days=365)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--reference", "35", "--reference", "35"], "apart"),
        (["--reference", "35"], "apart"),
        (["--reference", "35", "--reference", "90"], "outside the range of skin"),
    ],
)
def test_the_command_refuses_black_bodies_before_it_reads_one(
    config: Path, tmp_path: Path, words: list[str], why: str
) -> None:
    shown = CliRunner().invoke(app, [*COMMAND, *words, "--yes", "--config", str(config)])
    assert shown.exit_code == 1
    assert why in shown.output
    assert load_calibration(tmp_path) is None


def test_a_silent_thermometer_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.calibration.black_body._FIRST_READING_LIMIT_S", 0.3)
    words = ["--reference", "35", "--reference", "39", "--yes", "--config", str(config)]
    shown = CliRunner().invoke(app, [*COMMAND, *words])
    assert shown.exit_code == 1
    assert "No reading from the thermometer" in shown.output


def test_the_one_before_stays_beside_it(tmp_path: Path) -> None:
    first, second = made((35.0, 34.2), (39.0, 38.2)), made((35.0, 34.9), (39.0, 38.9))
    save_calibration(first, tmp_path)
    path = save_calibration(second, tmp_path)
    assert load_calibration(tmp_path) == second
    assert decode_checked(previous(path).read_bytes(), Calibration) == first


def test_nobody_calibrates_nothing(config: Path) -> None:
    asked = ["calibrate", "thermometer", "--by", " ", "--reference", "35", "--reference", "38", "--config", str(config)]
    told = CliRunner().invoke(app, asked)
    assert (told.exit_code, "Name the person who calibrates" in told.output) == (2, True)
