"""A sensor on a serial line: joins the line and a parser into readings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from drivers.device_health import MonitoredDevice
from drivers.latest import Latest
from drivers.serial_line.framing import Parser
from drivers.serial_line.serial_port import SerialLine

R = TypeVar("R")

ASK_S = 0.25


def _ignore(_question: bytes) -> None:
    """For a parser that need not know which question was written."""


class SerialSensor(MonitoredDevice, Generic[R]):
    """Newest reading of the sensor on `line`.

    `questions` are written in turn, one each `ask_s`, for a sensor that speaks only when asked; `asked` is called with
    each before it is written.
    """

    def __init__(
        self,
        line: SerialLine,
        parser: Parser[R],
        *,
        questions: Sequence[bytes] = (),
        asked: Callable[[bytes], None] = _ignore,
        ask_s: float = ASK_S,
    ) -> None:
        super().__init__(line.vitals)
        self._line = line
        self._parser = parser
        self._questions = questions
        self._asked = asked
        self._ask_s = ask_s
        self._readings: Latest[R] = Latest()

    @property
    def counters(self) -> dict[str, int]:
        """Counts of the line and of the parser."""
        return {**self.vitals.counters, **self._parser.counters, "replaced": self._readings.replaced}

    @property
    def readings(self) -> Latest[R]:
        """The newest reading."""
        return self._readings

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._line.run(self._take), name=f"{self.name} line")
            asking = self._line.ask(self._questions, self._ask_s, self._asked)
            tasks.create_task(asking, name=f"{self.name} questions")

    def _take(self, data: bytes, at_s: float) -> bool:
        readings = self._parser.feed(data, at_s)
        for reading in readings:
            self._add(reading)
        return bool(readings)

    def _add(self, reading: R) -> None:
        """Pass on one reading."""
        self.vitals.ok()
        self._readings.put(reading)
