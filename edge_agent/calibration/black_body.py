"""Reads this box's thermometer while it views a black body."""

from __future__ import annotations

import asyncio
import contextlib

from config.settings import Settings
from drivers.contract import SpotReading, ThermalFrame, Thermometer
from edge_agent.box.devices import thermometer_from
from edge_agent.calibration.correction import CalibrationPoint, point_from
from edge_agent.calibration.errors import BadCalibration
from edge_agent.runtime.background import background

_FIRST_READING_LIMIT_S = 10.0

Reading = ThermalFrame | SpotReading


def read_point(settings: Settings, reference_c: float, seconds: float) -> tuple[CalibrationPoint, list[float]]:
    """The point at one black-body temperature, and the ambient temperatures in °C that the sensor reported.

    Raises BadCalibration or DriverError.
    """
    readings = asyncio.run(_read(settings, seconds))
    ambients_c = [each.ambient_c for each in readings if each.ambient_c is not None]
    return point_from(reference_c, [_warmest(each) for each in readings]), ambients_c


def _warmest(reading: Reading) -> float:
    """The value in °C as for a face: the warmest pixel of the middle third, about the pixel count of a face."""
    if isinstance(reading, SpotReading):
        return reading.object_c
    rows, cols = reading.pixels_c.shape
    return float(reading.pixels_c[rows // 3 : rows - rows // 3, cols // 3 : cols - cols // 3].max())


async def _read(settings: Settings, seconds: float) -> list[Reading]:
    thermometer = thermometer_from(settings)
    async with background(thermometer.run()):
        try:
            return await _readings(thermometer, seconds)
        except TimeoutError as exc:
            detail = thermometer.health.detail or thermometer.health.state.value
            raise BadCalibration(f"测温仪没有读数：{detail}。", f"No reading from the thermometer: {detail}.") from exc


async def _readings(thermometer: Thermometer, seconds: float) -> list[Reading]:
    async with asyncio.timeout(_FIRST_READING_LIMIT_S):
        sequence, reading = await thermometer.readings.after(0)
    readings = [reading]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                sequence, reading = await thermometer.readings.after(sequence)
                readings.append(reading)
    return readings
