"""The thermometer part: reads a serial line with the parser of one model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from drivers.contract import SpotReading, ThermalFrame
from drivers.device_health import MonitoredDevice
from drivers.latest import Latest
from drivers.serial_line.framing import AnswerParser
from drivers.serial_line.serial_line import SerialLine
from drivers.thermometers.stuck_sensor import MinimumVariation, StuckSensorDetector

Reading = ThermalFrame | SpotReading
QUERY_INTERVAL_S = 0.25


class SerialThermometer(MonitoredDevice):
    """Newest reading of the sensor on `line`. Readings that vary too little set the state to BROKEN and are dropped.

    `queries` are sent in turn, one every `query_interval_s`, for a sensor that sends only on request.
    """

    def __init__(
        self,
        line: SerialLine,
        parser: AnswerParser[Reading],
        minimum: MinimumVariation,
        *,
        queries: Sequence[bytes] = (),
        query_interval_s: float = QUERY_INTERVAL_S,
    ) -> None:
        super().__init__(line.device_health)
        self._line = line
        self._parser = parser
        self._stuck_detector = StuckSensorDetector(minimum)
        self._minimum = minimum
        self._queries = queries
        self._query_interval_s = query_interval_s
        self._readings: Latest[Reading] = Latest()

    @property
    def counters(self) -> dict[str, int]:
        """Counts of the line and of the parser."""
        return {**self.device_health.counters, **self._parser.counters, "replaced": self._readings.replaced}

    @property
    def readings(self) -> Latest[Reading]:
        """The newest reading."""
        return self._readings

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._line.run(self._take), name=f"{self.name} line")
            asking = self._line.ask(self._queries, self._query_interval_s, self._parser.query_sent)
            tasks.create_task(asking, name=f"{self.name} queries")

    def _take(self, data: bytes, at_s: float) -> bool:
        readings = self._parser.feed(data, at_s)
        for reading in readings:
            if self._stuck_detector.is_varying(reading):
                self.device_health.ok()
                self._readings.put(reading)
            else:
                self.device_health.broken(f"readings have not changed for {self._minimum.window_s:g} s")
        return bool(readings)
