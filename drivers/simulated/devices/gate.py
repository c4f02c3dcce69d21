"""Simulated relay boards on a wire: they execute the real commands and count the pulses."""

from __future__ import annotations

import asyncio
import time

from drivers.serial_line.modbus import (
    COIL_OFF,
    COIL_ON,
    CRC_BYTES,
    EXCEPTION_FLAG,
    READ_COILS,
    READ_INPUTS,
    WRITE_COIL,
    crc16,
)
from drivers.simulated.devices.wire import PtyWire

_COMMAND_BYTES = 4
_HEAD = 0xA0


class SimulatedRelay:
    """An LCUS board with one relay; `closed` while the gate is held open, `pulses` counts the closings."""

    def __init__(self, wire: PtyWire) -> None:
        self._wire = wire
        self._buffer = bytearray()
        self.closed = False
        self.pulses = 0

    def plug(self) -> None:
        """Create the port."""
        self._wire.plug()

    def unplug(self) -> None:
        """Remove the port; the relay opens."""
        self._wire.unplug()
        self.closed = False

    async def run(self) -> None:
        """Execute commands until cancelled."""
        while True:
            self._take(self._wire.read())
            await asyncio.sleep(0.02)

    def _take(self, data: bytes) -> None:
        self._buffer += data
        while (start := self._buffer.find(_HEAD)) >= 0 and len(self._buffer) - start >= _COMMAND_BYTES:
            command = bytes(self._buffer[start : start + _COMMAND_BYTES])
            intact = command[3] == sum(command[:3]) & 0xFF
            del self._buffer[: start + (_COMMAND_BYTES if intact else 1)]
            if intact:
                self._switch(on=command[2] == 1)

    def _switch(self, *, on: bool) -> None:
        self.pulses += on and not self.closed
        self.closed = on


_UNIT = 1
_CHANNELS = 8
_REQUEST_BYTES = 8
_TIMED = 0x0200
_ALL = 0x00FF
_TOGGLE = 0x5500
_WRITE_COILS = 0x0F
_COILS_REQUEST_BYTES = 10  # for up to eight relays, with their states in the eighth byte
_NO_FUNCTION, _NO_ADDRESS, _NO_VALUE = 1, 2, 3


class SimulatedModbusBoard:
    """A Modbus relay board: functions 1, 2, 5 and 15, and the pulse timed by the board.

    `inputs` are its digital inputs, set by the caller; `mute` makes it silent, like a board without power.
    """

    def __init__(self, wire: PtyWire, channels: int = _CHANNELS) -> None:
        self._wire = wire
        self._buffer = bytearray()
        self._closed_until_s = [0.0] * channels  # monotonic; infinity for a relay that was switched on
        self.inputs = [False] * channels
        self.mute = False
        self.pulses = 0
        self.requests: list[bytes] = []

    @property
    def relays(self) -> list[bool]:
        """Current state of each relay, True for closed."""
        return [time.monotonic() < until_s for until_s in self._closed_until_s]

    async def run(self) -> None:
        """Execute requests until cancelled."""
        while True:
            self._take(self._wire.read())
            await asyncio.sleep(0.005)

    async def walk_through(self, in_beam_s: float = 0.3, sensor: int = 1) -> None:
        """Break the beam of the sensor on input `sensor` for `in_beam_s`."""
        self.inputs[sensor - 1] = True
        await asyncio.sleep(in_beam_s)
        self.inputs[sensor - 1] = False

    def _take(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _REQUEST_BYTES:
            many = self._buffer[1] == _WRITE_COILS
            size = _COILS_REQUEST_BYTES if many else _REQUEST_BYTES
            if len(self._buffer) < size:
                return
            request = bytes(self._buffer[:size])
            intact = request[0] == _UNIT and crc16(request[:-CRC_BYTES]) == request[-CRC_BYTES:]
            del self._buffer[: size if intact else 1]
            if intact and not self.mute:
                self.requests.append(request)
                self._wire.write(self._answer(request))

    def _answer(self, request: bytes) -> bytes:
        function = request[1]
        address, value = int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big")
        if function in (READ_COILS, READ_INPUTS):
            states = self.relays if function == READ_COILS else self.inputs
            if not 0 < value <= len(states) - address:
                return _exception(function, _NO_ADDRESS)
            bits = sum(on << place for place, on in enumerate(states[address : address + value]))
            return _with_crc(bytes((_UNIT, function, 1, bits)))
        if function == _WRITE_COILS:
            if not 0 < value <= len(self._closed_until_s) - address:
                return _exception(function, _NO_ADDRESS)
            for place in range(value):
                self._switch(address + place, on=bool(request[7] >> place & 1))
            return _with_crc(request[:6])
        if function != WRITE_COIL:
            return _exception(function, _NO_FUNCTION)
        refusal = self._write(address, value)
        return _exception(function, refusal) if refusal else request

    def _write(self, address: int, value: int) -> int:
        """Switch, toggle or pulse a relay, or switch all; returns the exception code, 0 for success."""
        count = len(self._closed_until_s)
        if _TIMED <= address < _TIMED + count:
            self.pulses += 1
            self._closed_until_s[address - _TIMED] = time.monotonic() + value / 10
            return 0
        if address >= count and address != _ALL:
            return _NO_ADDRESS
        if value not in (COIL_ON, COIL_OFF, _TOGGLE):
            return _NO_VALUE
        for relay in range(count) if address == _ALL else (address,):
            self._switch(relay, on=not self.relays[relay] if value == _TOGGLE else value == COIL_ON)
        return 0

    def _switch(self, relay: int, *, on: bool) -> None:
        self._closed_until_s[relay] = float("inf") if on else 0.0


def _exception(function: int, number: int) -> bytes:
    return _with_crc(bytes((_UNIT, function | EXCEPTION_FLAG, number)))


def _with_crc(body: bytes) -> bytes:
    return body + crc16(body)
