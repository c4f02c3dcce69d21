"""LCUS relay boards: one command a relay, no answer and no inputs.

Confidence V2: layout from several public sources, sums recomputed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from drivers.device_health import MonitoredDevice
from drivers.errors import BadSetting, DeviceLost
from drivers.gates.wiring import BAUD, Wiring, check_duration
from drivers.serial_line.serial_line import SerialLine


def lcus_command(channel: int, on: bool) -> bytes:
    """Switch relay `channel` (from 1) of an LCUS board, which never answers."""
    start = bytes((0xA0, channel, on))
    return start + bytes((sum(start) & 0xFF,))


class LcusGate(MonitoredDevice):
    """Relay that we switch on and off: off whenever the port opens or closes, but a killed agent leaves it as it was.

    The board never answers, so health says only that the port is open. It has no inputs.
    """

    def __init__(self, port: str, wiring: Wiring) -> None:
        if wiring.passage:
            raise BadSetting("an lcus board has no inputs; accepted: no passage sensor")
        self._on, self._off = lcus_command(wiring.gate, on=True), lcus_command(wiring.gate, on=False)
        self._lamp = wiring.lamp
        all_off = (self._off, *([lcus_command(wiring.lamp, on=False)] if wiring.lamp else []))
        self._line = SerialLine(
            "gate", port, bauds=(BAUD,), silence_s=None, start_up=all_off, shut_down=b"".join(all_off)
        )
        super().__init__(self._line.device_health)
        self.device_health.counters["pulses"] = 0
        self._holders = 0

    async def run(self) -> None:
        """Keep the port open until cancelled."""
        await self._line.run(lambda _data, _at_s: False)

    async def pulse(self, duration_ms: int) -> None:
        """Hold the gate open for `duration_ms`; pulses that overlap hold it until the last ends."""
        check_duration(duration_ms)
        await self._line.write(self._on)
        self.device_health.counters["pulses"] += 1
        self._holders += 1
        try:
            await asyncio.sleep(duration_ms / 1000)
        finally:
            self._holders -= 1
            if not self._holders:
                with suppress(DeviceLost):  # known to the line, which switches off first thing when it is back
                    await self._line.write(self._off)

    async def light(self, *, on: bool) -> None:
        """Switch the lamp."""
        if self._lamp:
            await self._line.write(lcus_command(self._lamp, on=on))

    async def passed(self, _limit_s: float) -> bool:
        """Nobody knows."""
        return False
