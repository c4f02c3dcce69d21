"""Parsers of the commands that a host sends to a relay board: for recordings of the line to the gate, and for tests.

Confidence V2, as for `lcus.py` and `modbus_relay.py`, which write these frames.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.gates.modbus_relay import MODBUS_UNIT
from drivers.serial_line import modbus
from drivers.serial_line.checksums import sum8
from drivers.serial_line.framing import FrameParser, NoReading

ALL = 0  # instead of a channel number

LCUS_HEAD = b"\xa0"
LCUS_BYTES = 4

WRITE_COILS = 0x0F
ABOUT_STATE = (modbus.READ_COILS, modbus.READ_INPUTS)
TOGGLE = 0x5500
ALL_COILS = 0x00FF
PULSE_COILS = 0x0200  # first coil address of the timed pulse, one per channel (Waveshare)
PULSE_STEP_MS = 100
MAX_CHANNELS = 32


@dataclass(frozen=True, slots=True)
class RelayCommand:
    """One command for `channel` (from 1, or ALL): switch to `on`, toggle for None, or close for `pulse_ms`."""

    channel: int
    on: bool | None
    taken_at_s: float
    pulse_ms: int | None = None


class LcusCommands(FrameParser[RelayCommand]):
    """Commands to an LCUS board: A0, channel, on or off, 8-bit sum of all bytes."""

    def __init__(self) -> None:
        super().__init__(LCUS_HEAD, LCUS_BYTES)

    def decode(self, frame: bytes, at_s: float) -> RelayCommand | NoReading | None:
        """The command in one frame."""
        if sum8(frame[:-1]) != frame[-1]:
            return None
        channel, on = frame[1:3]
        return RelayCommand(channel, bool(on), at_s) if channel and on <= 1 else NoReading.REFUSED


class ModbusRelayCommands(FrameParser[RelayCommand]):
    """Commands to a Modbus board. Replies to writes repeat the command; reads of state are skipped."""

    def __init__(self) -> None:
        functions = (modbus.WRITE_COIL, WRITE_COILS, *ABOUT_STATE)
        heads = [bytes((MODBUS_UNIT, function)) for function in functions]
        super().__init__(heads[0], 8, others=heads[1:])

    def needed(self, start: bytearray) -> int:
        """Eight bytes; longer for a write of several coils, six for a reply with eight states."""
        if start[1] == WRITE_COILS and len(start) >= 7:
            coils = int.from_bytes(start[4:6], "big")
            return 9 + start[6] if start[6] == -(-coils // 8) and 0 < coils <= MAX_CHANNELS else 0
        return 6 if start[1] in ABOUT_STATE and start[2:3] == b"\x01" else 8

    def decode(self, frame: bytes, at_s: float) -> RelayCommand | NoReading | None:
        """The command in one frame."""
        if modbus.crc16(frame[: -modbus.CRC_BYTES]) != frame[-modbus.CRC_BYTES :]:
            return None
        if frame[1] == WRITE_COILS:
            return _coils_command(frame, at_s)
        if frame[1] in ABOUT_STATE:
            return NoReading.OTHER
        address, value = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
        return _single_coil_command(address, value, at_s) or NoReading.REFUSED


def _single_coil_command(address: int, value: int, at_s: float) -> RelayCommand | None:
    if address >= PULSE_COILS:
        channel, on, pulse_ms = address - PULSE_COILS + 1, value > 0, value * PULSE_STEP_MS
        return RelayCommand(channel, on, at_s, pulse_ms) if channel <= MAX_CHANNELS and on else None
    channel = ALL if address == ALL_COILS else address + 1
    if channel > MAX_CHANNELS or value not in (modbus.COIL_ON, modbus.COIL_OFF, TOGGLE):
        return None
    return RelayCommand(channel, None if value == TOGGLE else value == modbus.COIL_ON, at_s)


def _coils_command(frame: bytes, at_s: float) -> RelayCommand | NoReading:
    """A write of several coils; decoded only where all of them, from the first on, get the same state."""
    first, coils = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
    states = int.from_bytes(frame[7:-2], "little")
    if first == 0 and states in (0, (1 << coils) - 1):
        return RelayCommand(ALL, states > 0, at_s)
    return NoReading.OTHER
