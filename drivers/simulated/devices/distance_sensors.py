"""Simulated distance sensors: continuous readings, and replies to commands."""

from __future__ import annotations

import re
from typing import ClassVar

from drivers.simulated.devices import sensor_frames
from drivers.simulated.devices.sensor_firmware import CommandedSensor
from drivers.simulated.devices.sensor_frames import crc8, sum8, terabee_ack


class SimulatedTof10120(CommandedSensor):
    """Sends lines of text. Accepts an interval command, which does not change the rate of the simulation."""

    command = re.compile(rb"s2-(\d{1,5})#")
    interval_ms = 100

    def execute(self, command: bytes) -> bytes:
        """Store the interval."""
        self.interval_ms = int(command[3:-1])
        return b""

    def frame(self) -> bytes:
        """One line."""
        return sensor_frames.tof10120(round(self.measure()))


class SimulatedEvoMini(CommandedSensor):
    """One, two or four pixels; acknowledges every command. In text mode, whose layout is unknown, it is silent."""

    command = re.compile(rb"(?s)\x00[\x11\x21\x61]..")
    _pixels: ClassVar[dict[int, int]] = {1: 1, 3: 2, 2: 4}

    def power_up(self) -> None:
        """Factory settings: text mode, one pixel."""
        self._as_bytes, self._count = False, 1

    def execute(self, command: bytes) -> bytes:
        """Set the output mode, the pixels or the range."""
        _, code, value, _ = command
        good = command[-1:] == crc8(command[:-1])
        if good and code == 0x11:
            self._as_bytes = value == 2
        elif good and code == 0x21:
            self._count = self._pixels.get(value, self._count)
        return terabee_ack(0x12, code, good=good)

    def frame(self) -> bytes:
        """One frame with the same distance in every pixel."""
        return sensor_frames.evo_mini(*[round(self.measure())] * self._count) if self._as_bytes else b""


class SimulatedTofSense(CommandedSensor):
    """Sends continuously and replies to queries."""

    command = re.compile(rb"(?s)\x57\x10\xff\xff.\xff\xff.")

    def execute(self, command: bytes) -> bytes:
        """Reply with one frame."""
        return self.frame() if command[-1:] == sum8(command[:-1]) else b""

    def frame(self) -> bytes:
        """One frame."""
        return sensor_frames.tofsense(round(self.measure()))
