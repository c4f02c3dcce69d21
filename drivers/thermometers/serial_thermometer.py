"""A thermometer on a serial line: a sensor whose readings must vary."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.contract import SpotReading, ThermalFrame
from drivers.serial_line.framing import AnswerParser
from drivers.serial_line.serial_port import SerialLine
from drivers.serial_line.serial_sensor import ASK_S, SerialSensor
from drivers.thermometers.stuck_sensor import MinimumVariation, StuckSensorDetector

Reading = ThermalFrame | SpotReading


class SerialThermometer(SerialSensor[Reading]):
    """Newest reading of the sensor on `line`; readings that are too even make it broken and are kept back."""

    def __init__(
        self,
        line: SerialLine,
        parser: AnswerParser[Reading],
        least: MinimumVariation,
        *,
        questions: Sequence[bytes] = (),
        ask_s: float = ASK_S,
    ) -> None:
        super().__init__(line, parser, questions=questions, asked=parser.asked, ask_s=ask_s)
        self._watch = StuckSensorDetector(least)
        self._least = least

    def _add(self, reading: Reading) -> None:
        if self._watch.alive(reading):
            super()._add(reading)
        else:
            self.vitals.broken(f"readings have not moved for {self._least.window_s:g} s")
