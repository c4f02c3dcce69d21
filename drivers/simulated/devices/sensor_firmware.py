"""What the simulated sensors share: the sensor's side of a wire, without I/O.

Written apart from the drivers, from the same sources. What a real sensor keeps in flash outlives `power_up` here too.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Protocol

Measure = Callable[[], float]
"""What is before the sensor now: °C, or mm before a distance sensor."""

LONGEST_COMMAND_BYTES = 16


class SensorFirmware(Protocol):
    """One sensor."""

    def power_up(self) -> None:
        """Start again from what was saved."""
        ...

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes from the host, whole or torn; returns the answers, one frame each."""
        ...

    def frame(self) -> bytes:
        """What the sensor says by itself when a measurement is done; nothing where it is to be asked."""
        ...


class CommandedSensor(ABC):
    """A sensor whose commands are what matches `command`; what else it hears is passed over."""

    command: ClassVar[re.Pattern[bytes]]
    _pending = b""

    def __init__(self, measure: Measure) -> None:
        self.measure = measure
        self.power_up()

    def power_up(self) -> None:
        """Start again; most have no more to forget than half a command."""
        self._pending = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Obey every whole command."""
        self._pending += data
        answers = []
        while found := self.command.search(self._pending):
            self._pending = self._pending[found.end() :]
            answers.append(self.execute(found[0]))
        self._pending = self._pending[-LONGEST_COMMAND_BYTES:]
        return [answer for answer in answers if answer]

    @abstractmethod
    def execute(self, command: bytes) -> bytes:
        """Do what `command` says; returns what is answered."""

    def frame(self) -> bytes:
        """What the sensor says by itself."""
        return b""
