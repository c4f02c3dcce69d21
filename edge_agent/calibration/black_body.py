"""Reads this box's thermometer for some seconds while it looks at a black body."""

from __future__ import annotations

import asyncio
import contextlib

from config.settings import ThermometerSettings
from drivers.contract import SpotReading, ThermalFrame, Thermometer
from drivers.thermometers.table import make_thermometer
from edge_agent.calibration.correction import CalibrationPoint, point_from
from edge_agent.calibration.errors import BadCalibration

_FIRST_READING_LIMIT_S = 10.0

Reading = ThermalFrame | SpotReading


def read_point(chosen: ThermometerSettings, reference_c: float, seconds: float) -> tuple[CalibrationPoint, list[float]]:
    """The point at one black-body temperature, and what the sensor called ambient in each reading, where it does.

    Raises BadCalibration or DriverError.
    """
    readings = asyncio.run(_gather(chosen, seconds))
    ambients_c = [each.ambient_c for each in readings if each.ambient_c is not None]
    return point_from(reference_c, [_warmest(each) for each in readings]), ambients_c


def _warmest(reading: Reading) -> float:
    """The value that a face would give: the warmest pixel of the middle third, about as many pixels as a face has."""
    if isinstance(reading, SpotReading):
        return reading.object_c
    rows, cols = reading.pixels_c.shape
    return float(reading.pixels_c[rows // 3 : rows - rows // 3, cols // 3 : cols - cols // 3].max())


async def _gather(chosen: ThermometerSettings, seconds: float) -> list[Reading]:
    part = make_thermometer(driver=chosen.driver, port=chosen.port, baud=chosen.baud, mirror=chosen.mirror)
    running = asyncio.create_task(part.run())
    try:
        return await _readings(part, seconds)
    except TimeoutError as exc:
        detail = part.health.detail or part.health.state.value
        raise BadCalibration(f"测温仪没有读数：{detail}。", f"The thermometer gives no reading: {detail}.") from exc
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _readings(part: Thermometer, seconds: float) -> list[Reading]:
    async with asyncio.timeout(_FIRST_READING_LIMIT_S):
        sequence, reading = await part.readings.after(0)
    found = [reading]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                sequence, reading = await part.readings.after(sequence)
                found.append(reading)
    return found
