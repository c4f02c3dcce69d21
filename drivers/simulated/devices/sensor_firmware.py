"""Common parts of the simulated sensors: the firmware side of the protocols, without I/O.

Written independently of the drivers, from the same sources. Settings that a real sensor stores in flash survive
`power_up`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Protocol

Measure = Callable[[], float]
"""Current measurand of the sensor: °C, or mm for a distance sensor."""

LONGEST_COMMAND_BYTES = 16


class SensorFirmware(Protocol):
    """One sensor."""

    def power_up(self) -> None:
        """Restart with the saved settings."""
        ...

    def feed(self, data: bytes) -> list[bytes]:
        """Process bytes from the host, in pieces of any size; returns the replies, one frame each."""
        ...

    def frame(self) -> bytes:
        """The frame sent after a measurement; empty for a sensor that only replies to queries."""
        ...


class CommandedSensor(ABC):
    """A sensor whose commands match `command`; other bytes are ignored."""

    command: ClassVar[re.Pattern[bytes]]
    _pending = b""

    def __init__(self, measure: Measure) -> None:
        self.measure = measure
        self.power_up()

    def power_up(self) -> None:
        """Restart: discard an incomplete command."""
        self._pending = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Execute every complete command; returns the replies."""
        self._pending += data
        answers = []
        while found := self.command.search(self._pending):
            self._pending = self._pending[found.end() :]
            answers.append(self.execute(found[0]))
        self._pending = self._pending[-LONGEST_COMMAND_BYTES:]
        return [answer for answer in answers if answer]

    @abstractmethod
    def execute(self, command: bytes) -> bytes:
        """Execute `command`; returns the reply, empty for none."""

    def frame(self) -> bytes:
        """The frame sent after a measurement; empty by default."""
        return b""
