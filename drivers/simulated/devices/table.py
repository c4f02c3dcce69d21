"""The simulated sensors, one row each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from drivers.simulated.devices.distance_sensors import SimulatedEvoMini, SimulatedTof10120, SimulatedTofSense
from drivers.simulated.devices.faults import FaultyWire
from drivers.simulated.devices.sensor_firmware import Measure, SensorFirmware
from drivers.simulated.devices.thermometers import (
    SimulatedCjmcu90614,
    SimulatedEvoThermal33,
    SimulatedGy614v,
    SimulatedGyMcu90614,
    SimulatedGyMcu90640,
    SimulatedOptris,
    SimulatedPyroUsb,
)

LISTEN_EVERY_S = 0.005


class SimulatedSensor:
    """A sensor on its wire: measures `rate_hz` times a second, replies immediately, restarts when plugged in."""

    def __init__(
        self, wire: FaultyWire, sensor: Callable[[Measure], SensorFirmware], measure: Measure, rate_hz: float
    ) -> None:
        self._wire = wire
        self._sensor = sensor(lambda: wire.measured(measure()))
        self._every_s = 1 / rate_hz

    async def run(self) -> None:
        """Measure, send and execute commands until cancelled."""
        clock, due_s, plugged = asyncio.get_running_loop().time, 0.0, self._wire.times_plugged
        while True:
            if plugged != self._wire.times_plugged:
                plugged = self._wire.times_plugged
                self._sensor.power_up()
            frames = self._sensor.feed(self._wire.read())
            if clock() >= due_s:
                due_s = clock() + self._every_s
                frames.append(self._sensor.frame())
            for frame in filter(None, frames):
                self._wire.write(frame)
            await asyncio.sleep(min(self._every_s, LISTEN_EVERY_S))


SENSORS: dict[str, Callable[[Measure], SensorFirmware]] = {
    "gy-mcu90640": SimulatedGyMcu90640,
    "gy-mcu90614": SimulatedGyMcu90614,
    "gy-614v": SimulatedGy614v,
    "cjmcu-90614": SimulatedCjmcu90614,
    "evo-thermal-33": SimulatedEvoThermal33,
    "pyrousb": SimulatedPyroUsb,
    "optris": SimulatedOptris,
    "tof10120": SimulatedTof10120,
    "evo-mini": SimulatedEvoMini,
    "tofsense": SimulatedTofSense,
}
