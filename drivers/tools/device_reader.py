"""One device heard outside the agent, by whoever stands in front of it with a screen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from drivers.device_health import MonitoredDevice
from drivers.latest import Latest
from drivers.serial_line.device_protocol import DeviceProtocol
from drivers.serial_line.framing import FrameParser, Parser
from drivers.serial_line.serial_sensor import ASK_S


class DeviceReader(MonitoredDevice):
    """The newest reading of the device on `port`, as its parser gives it; `overhear` gets its bytes as they come."""

    def __init__(
        self,
        name: str,
        dialect: DeviceProtocol[Parser[Any]],
        port: str,
        baud: int | None = None,
        overhear: Callable[[bytes, float], None] = lambda _data, _at_s: None,
    ) -> None:
        self._line = dialect.line(name, port, baud)
        super().__init__(self._line.vitals)
        self._questions = dialect.questions
        self._parser = dialect.parser()
        self._overhear = overhear
        self.readings: Latest[tuple[float, Any]] = Latest()

    @property
    def counters(self) -> dict[str, int]:
        """Counts of the line and of the parser."""
        return {**self.vitals.counters, **self._parser.counters}

    async def run(self) -> None:
        """Listen until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._line.run(self._take), name=f"{self.name} line")
            tasks.create_task(self._line.ask(self._questions, ASK_S, self._asked), name=f"{self.name} questions")

    def _asked(self, question: bytes) -> None:
        if isinstance(self._parser, FrameParser):
            self._parser.asked(question)

    def _take(self, data: bytes, at_s: float) -> bool:
        if data:
            self._overhear(data, at_s)
        intact = self._intact
        for reading in self._parser.feed(data, at_s):
            self.readings.put((at_s, reading))
        understood = self._intact > intact
        if understood:
            self.vitals.ok()
        return understood

    @property
    def _intact(self) -> int:
        """Frames that came whole: a card reader without a card answers too."""
        return self._parser.counters["frames"] + self._parser.counters["other_frames"]
