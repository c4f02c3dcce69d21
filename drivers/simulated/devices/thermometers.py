"""Simulated thermometers: continuous readings, and replies to commands."""

from __future__ import annotations

import re
import struct
from typing import ClassVar

import numpy as np

from drivers.simulated.devices import sensor_frames
from drivers.simulated.devices.gy_mcu90640_module import COLS, ROWS, ThermalModule, encode_frame
from drivers.simulated.devices.sensor_firmware import CommandedSensor, Measure
from drivers.simulated.devices.sensor_frames import crc8, hundredths, modbus_crc, sum8, terabee_ack

AMBIENT_C = 25.0


class SimulatedGyMcu90640:
    """A 32x24 array whose view is filled by one temperature."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._module = ThermalModule()

    def power_up(self) -> None:
        """Restart with the saved settings."""
        self._module.power_up()

    def feed(self, data: bytes) -> list[bytes]:
        """Execute commands; returns the replies and the single frames requested."""
        answer = self._module.feed(data)
        frames, self._module.frames_asked = self._module.frames_asked, 0
        return [*([answer] if answer else []), *(self._picture() for _ in range(frames))]

    def frame(self) -> bytes:
        """One frame in automatic mode."""
        return self._picture() if self._module.settings.automatic else b""

    def _picture(self) -> bytes:
        return encode_frame(np.full((ROWS, COLS), self._measure()), AMBIENT_C)


class SimulatedGyMcu90614(CommandedSensor):
    """Continuous mode or queries; the mode at power-up is saved."""

    command = re.compile(rb"(?s)\xa5[\x15\x45\x51\x52\xae\xaf].")
    _automatic = True

    def power_up(self) -> None:
        """Restart in the saved mode."""
        self._continuous = self._automatic

    def execute(self, command: bytes) -> bytes:
        """Select the mode or reply to a query. Baud rates are accepted without effect."""
        if command[-1:] != sum8(command[:-1]):
            return b""
        match command[1]:
            case 0x15:
                self._continuous = False
                return self._measured()
            case 0x45:
                self._continuous = True
            case 0x51 | 0x52 as code:
                self._automatic = code == 0x51
        return b""

    def frame(self) -> bytes:
        """One frame in continuous mode."""
        return self._measured() if self._continuous else b""

    def _measured(self) -> bytes:
        return sensor_frames.gy_mcu90614(self.measure(), AMBIENT_C)


class SimulatedGy614v(CommandedSensor):
    """Sixteen one-byte registers. Continuous output is not simulated: its layout is unknown."""

    command = re.compile(rb"(?s)[\xa4\x00][\x03\x06]...")
    _saved = bytes((0, 2, 2, 0, 0, 0, 100, 98, *bytes(8)))

    def power_up(self) -> None:
        """Restart with the saved registers."""
        self._registers = bytearray(self._saved)

    def execute(self, command: bytes) -> bytes:
        """Read registers, or write one and echo the command."""
        function, register, value = command[1:4]
        readable = function == 0x03 and 0 < value <= len(self._registers) - register
        writable = function == 0x06 and register < 8
        if command[-1:] != sum8(command[:-1]) or not (readable or writable):
            return b""
        if writable:
            self._registers[register] = value
            if (register, value) == (5, 0x55):
                self._saved = bytes(self._registers)
            return command
        measured_c = self.measure()
        self._registers[8:14] = hundredths(measured_c, AMBIENT_C, measured_c + 0.5)
        answer = command[:4] + self._registers[register : register + value]
        return answer + sum8(answer)


class SimulatedCjmcu90614(CommandedSensor):
    """Continuous mode or queries."""

    command = re.compile(rb"\x66\x66[\x01\x02\x11-\x13]\x56")

    def power_up(self) -> None:
        """Restart in continuous mode."""
        self._continuous = True

    def execute(self, command: bytes) -> bytes:
        """Select the mode or reply to a query. Baud rates are accepted without effect."""
        if command[2] > 2:
            return b""
        self._continuous = command[2] == 1
        return b"" if self._continuous else sensor_frames.cjmcu_90614(self.measure(), AMBIENT_C, mode=2)

    def frame(self) -> bytes:
        """One frame in continuous mode."""
        return sensor_frames.cjmcu_90614(self.measure(), AMBIENT_C) if self._continuous else b""


class SimulatedEvoThermal33(CommandedSensor):
    """Silent until activated; acknowledges every command."""

    command = re.compile(rb"(?s)\x00(?:\x52\x02..|\x51..)")

    def power_up(self) -> None:
        """Restart deactivated."""
        self._active = False

    def execute(self, command: bytes) -> bytes:
        """Activate, deactivate, or accept an emissivity."""
        good = command[-1:] == crc8(command[:-1])
        if good and command[1] == 0x52:
            self._active = command[3] == 1
        return terabee_ack(0x14, command[1], good=good)

    def frame(self) -> bytes:
        """One frame while activated."""
        return sensor_frames.evo_thermal_33(np.full(1024, self.measure()), AMBIENT_C) if self._active else b""


class SimulatedPyroUsb(CommandedSensor):
    """A Modbus device, unit 1, whose input and holding registers are the same."""

    command = re.compile(rb"(?s)[\x01\xff][\x03\x04\x06].{6}")
    _saved: ClassVar[dict[int, int]] = {0x07: 230, 0x08: 9800, 0x09: 10000, 0x0C: 0, 0x0D: 0, 0x0E: 0}

    def power_up(self) -> None:
        """Reset the volatile settings to the saved ones."""
        self._settings = {**self._saved, 0x17: self._saved[0x07], 0x18: self._saved[0x08]}

    def execute(self, command: bytes) -> bytes:
        """Read registers, or write one and echo the request."""
        if command[-2:] != modbus_crc(command[:-2]):
            return b""
        register, value = struct.unpack(">HH", command[2:6])
        if command[1] == 0x06:
            if register not in self._settings:
                return self._refused(command)
            self._settings[register] = value
            return command
        registers = self._settings | self._measured()
        wanted = range(register, register + value)
        if not value or not registers.keys() >= set(wanted):
            return self._refused(command)
        answer = command[:2] + bytes((2 * value,)) + struct.pack(f">{value}H", *(registers[each] for each in wanted))
        return answer + modbus_crc(answer)

    def _measured(self) -> dict[int, int]:
        tenths = round(self.measure() * 10) & 0xFFFF
        return {**dict.fromkeys(range(0x0F, 0x14), tenths), 0x14: round(AMBIENT_C * 10), 0x15: 0}

    @staticmethod
    def _refused(command: bytes) -> bytes:
        answer = bytes((command[0], command[1] | 0x80, 2))  # no such register
        return answer + modbus_crc(answer)


class SimulatedOptris(CommandedSensor):
    """A CT: one-byte queries, and an emissivity command that ends with an XOR checksum."""

    command = re.compile(rb"(?s)\x84...|(?<!\x84)(?<!\x84.)(?<!\x84..)[\x01-\x05\x09\x0e\x0f]")
    _emissivity = 980

    def execute(self, command: bytes) -> bytes:
        """Reply with two bytes to every simulated query."""
        match command[0]:
            case 0x01 | 0x03:
                return sensor_frames.optris(self.measure())
            case 0x02 | 0x09:
                return sensor_frames.optris(AMBIENT_C)
            case 0x84 if command[0] ^ command[1] ^ command[2] == command[3]:
                self._emissivity = int.from_bytes(command[1:3], "big")
            case 0x05:
                return (1000).to_bytes(2, "big")
            case 0x0E | 0x0F:
                return (1).to_bytes(2, "big")
        return self._emissivity.to_bytes(2, "big")
