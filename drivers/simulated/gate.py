"""A simulated LCUS relay at the end of a wire: takes the real command bytes and counts what they did."""

from __future__ import annotations

import asyncio

from drivers.simulated.wire import PtyWire

_COMMAND_BYTES = 4
_HEAD = 0xA0


class SimulatedRelay:
    """One relay channel; `closed` while the gate is held open, `pulses` how often that happened."""

    def __init__(self, wire: PtyWire) -> None:
        self._wire = wire
        self._buffer = bytearray()
        self.closed = False
        self.pulses = 0

    def plug(self) -> None:
        """Make the port appear."""
        self._wire.plug()

    def unplug(self) -> None:
        """Pull the cable; the relay falls back."""
        self._wire.unplug()
        self.closed = False

    async def run(self) -> None:
        """Obey commands until cancelled."""
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
