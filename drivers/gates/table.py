"""The supported gates, one row each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from drivers.contract import Gate
from drivers.device_health import DeviceHealth, MonitoredDevice
from drivers.errors import BadSetting
from drivers.gates.lcus import LcusGate
from drivers.gates.modbus_relay import ModbusGate
from drivers.gates.wiring import Wiring, check_duration

IDLE_S = 1.0


class NoGate(MonitoredDevice):
    """Used where no gate is wired: a pulse waits for its duration and is counted."""

    def __init__(self) -> None:
        super().__init__(DeviceHealth("gate"))
        self.device_health.counters["pulses"] = 0

    async def run(self) -> None:
        """Wait until cancelled."""
        self.device_health.ok("no gate is wired")
        while True:
            await asyncio.sleep(IDLE_S)

    async def pulse(self, duration_ms: int) -> None:
        """Count the pulse and wait for its duration."""
        check_duration(duration_ms)
        self.device_health.counters["pulses"] += 1
        await asyncio.sleep(duration_ms / 1000)

    async def light(self, *, on: bool) -> None:
        """Do nothing: no lamp is wired."""

    async def passed(self, _limit_s: float) -> bool:
        """False: no sensor is wired."""
        return False


GATES: dict[str, Callable[[str, Wiring], Gate]] = {
    "lcus": LcusGate,
    "modbus-relay": ModbusGate,
    "none": lambda _port, _wiring: NoGate(),
}


def make_gate(*, driver: str, port: str = "", channel: int = 1, lamp_channel: int = 0, passage_input: int = 0) -> Gate:
    """The gate `driver` on `port`, relay `channel` from 1; with `modbus-relay` the board itself ends the pulse.

    `lamp_channel` is the relay of the staff-call lamp, `passage_input` the input of the sensor behind the gate; 0 for
    none. Raises BadSetting.
    """
    make = GATES.get(driver)
    if make is None:
        raise BadSetting(f"gate driver {driver!r} is not known; accepted: {', '.join(sorted(GATES))}")
    return make(port, Wiring(channel, lamp_channel, passage_input))
