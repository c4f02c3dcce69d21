"""Reads one device without the agent, for the `devices` commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from drivers.device_health import MonitoredDevice
from drivers.latest import Latest
from drivers.serial_line.device_protocol import DeviceProtocol
from drivers.serial_line.framing import FrameParser, Parser
from drivers.serial_line.serial_line import SerialLine
from drivers.thermometers.serial_thermometer import QUERY_INTERVAL_S


class DeviceReader(MonitoredDevice):
    """The newest reading of the device on `port`, as parsed; `on_bytes` receives the raw bytes."""

    def __init__(
        self,
        name: str,
        protocol: DeviceProtocol[Parser[Any]],
        port: str,
        baud: int | None = None,
        on_bytes: Callable[[bytes, float], None] = lambda _data, _at_s: None,
    ) -> None:
        self._line = SerialLine(
            name,
            port,
            bauds=protocol.bauds if baud is None else (baud,),
            silence_s=protocol.silence_s,
            quiet_s=protocol.quiet_s,
            start_up=protocol.start_up,
        )
        super().__init__(self._line.device_health)
        self._queries = protocol.queries
        self._parser = protocol.parser()
        self._on_bytes = on_bytes
        self.readings: Latest[tuple[float, Any]] = Latest()

    @property
    def counters(self) -> dict[str, int]:
        """Counts of the line and of the parser."""
        return {**self.device_health.counters, **self._parser.counters}

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._line.run(self._take), name=f"{self.name} line")
            tasks.create_task(self._line.ask(self._queries, QUERY_INTERVAL_S, self._query), name=f"{self.name} queries")

    def _query(self, query: bytes) -> None:
        if isinstance(self._parser, FrameParser):
            self._parser.query_sent(query)

    def _take(self, data: bytes, at_s: float) -> bool:
        if data:
            self._on_bytes(data, at_s)
        intact = self._intact_frames
        for reading in self._parser.feed(data, at_s):
            self.readings.put((at_s, reading))
        understood = self._intact_frames > intact
        if understood:
            self.device_health.ok()
        return understood

    @property
    def _intact_frames(self) -> int:
        """Number of intact frames, including those without a reading: a card reader also replies without a card."""
        return self._parser.counters["frames"] + self._parser.counters["other_frames"]
