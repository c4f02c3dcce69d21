"""LCUS relay boards: one command per relay, no reply and no inputs.

Confidence V2: layout from several public sources, checksums recomputed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from drivers.device_health import MonitoredDevice
from drivers.errors import BadSetting, DeviceLost
from drivers.gates.wiring import BAUD, Wiring, check_duration
from drivers.serial_line.serial_line import SerialLine


def lcus_command(channel: int, on: bool) -> bytes:
    """Command: switch relay `channel` (from 1)."""
    start = bytes((0xA0, channel, on))
    return start + bytes((sum(start) & 0xFF,))


class LcusGate(MonitoredDevice):
    """Gate on a relay that the host switches on and off.

    The relay is switched off whenever the port opens or closes; a killed agent leaves it in its last state. The board
    never replies, so OK means only that the port is open. It has no inputs.
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
                with suppress(DeviceLost):  # the line detects this itself and switches off when it reopens
                    await self._line.write(self._off)

    async def light(self, *, on: bool) -> None:
        """Switch the lamp."""
        if self._lamp:
            await self._line.write(lcus_command(self._lamp, on=on))

    async def passed(self, _limit_s: float) -> bool:
        """False: the board has no inputs."""
        return False
