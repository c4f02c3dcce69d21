"""The part of a serial sensor: reads a serial line with the parser of one model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from drivers.device_health import MonitoredDevice
from drivers.latest import Latest
from drivers.serial_line.framing import Parser
from drivers.serial_line.serial_line import SerialLine

R = TypeVar("R")

QUERY_INTERVAL_S = 0.25


def _ignore(_query: bytes) -> None:
    """For a parser that does not depend on the query."""


class SerialSensor(MonitoredDevice, Generic[R]):
    """Newest reading of the sensor on `line`.

    `queries` are sent in turn, one every `query_interval_s`, for a sensor that sends only on request; `before_query` is
    called with each before it is sent.
    """

    def __init__(
        self,
        line: SerialLine,
        parser: Parser[R],
        *,
        queries: Sequence[bytes] = (),
        before_query: Callable[[bytes], None] = _ignore,
        query_interval_s: float = QUERY_INTERVAL_S,
    ) -> None:
        super().__init__(line.device_health)
        self._line = line
        self._parser = parser
        self._queries = queries
        self._before_query = before_query
        self._query_interval_s = query_interval_s
        self._readings: Latest[R] = Latest()

    @property
    def counters(self) -> dict[str, int]:
        """Counts of the line and of the parser."""
        return {**self.device_health.counters, **self._parser.counters, "replaced": self._readings.replaced}

    @property
    def readings(self) -> Latest[R]:
        """The newest reading."""
        return self._readings

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._line.run(self._take), name=f"{self.name} line")
            asking = self._line.ask(self._queries, self._query_interval_s, self._before_query)
            tasks.create_task(asking, name=f"{self.name} queries")

    def _take(self, data: bytes, at_s: float) -> bool:
        readings = self._parser.feed(data, at_s)
        for reading in readings:
            self._add(reading)
        return bool(readings)

    def _add(self, reading: R, detail: str = "") -> None:
        """Deliver one reading; `detail` says for staff what is known of the sensor."""
        self.device_health.ok(detail)
        self._readings.put(reading)
