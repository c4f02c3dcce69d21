"""The thermometer part: a serial sensor whose readings must vary."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.contract import SpotReading, ThermalFrame
from drivers.serial_line.framing import AnswerParser
from drivers.serial_line.serial_line import SerialLine
from drivers.serial_line.serial_sensor import QUERY_INTERVAL_S, SerialSensor
from drivers.thermometers.dead_pixels import MOST_DEAD, describe, too_many
from drivers.thermometers.stuck_sensor import MinimumVariation, StuckSensorDetector

Reading = ThermalFrame | SpotReading


class SerialThermometer(SerialSensor[Reading]):
    """Newest reading of the sensor on `line`.

    Readings that vary too little, and those of an array with too many dead pixels, set the state to BROKEN and are
    dropped.
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
        super().__init__(
            line, parser, queries=queries, before_query=parser.query_sent, query_interval_s=query_interval_s
        )
        self._stuck_detector = StuckSensorDetector(minimum)
        self._minimum = minimum

    def _add(self, reading: Reading, detail: str = "") -> None:
        left_out = reading.left_out if isinstance(reading, ThermalFrame) else ()
        if left_out:
            detail = describe(left_out)
        if not self._stuck_detector.is_varying(reading):
            self.device_health.broken(f"readings have not changed for {self._minimum.window_s:g} s")
        elif too_many(left_out):
            self.device_health.broken(f"more than {MOST_DEAD} dead pixels; {detail}")
        else:
            super()._add(reading, detail)
