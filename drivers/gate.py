"""The relay that opens the gate: LCUS boards, Modbus boards with their own timed pulse, or none.

Confidence V2: layouts from several public sources, sums and CRCs recomputed. No board tells whether the gate itself
moved; that needs a sensor of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from drivers import modbus
from drivers.contract import Gate
from drivers.errors import BadSetting, DeviceLost, DeviceRefused
from drivers.serial_port import SerialLine
from drivers.vitals import VitalPart, Vitals

BAUD = 9600
CHANNELS = range(1, 9)
MAX_PULSE_MS = 60_000
MODBUS_UNIT = 1
REPLY_LIMIT_S = 0.5  # the boards answer in about 20 ms at 9600 baud
REPLY_CAP_BYTES = 64
CHECK_EVERY_S = 1.0
SILENCE_S = 2.5


def lcus_command(channel: int, on: bool) -> bytes:
    """Switch relay `channel` (from 1) of an LCUS board, which never answers."""
    start = bytes((0xA0, channel, on))
    return start + bytes((sum(start) & 0xFF,))


def modbus_pulse(channel: int, duration_ms: int) -> bytes:
    """Close relay `channel` (from 1) for `duration_ms`, rounded up to the board's tenths of a second (Waveshare)."""
    return modbus.request(MODBUS_UNIT, modbus.WRITE_COIL, 0x0200 + channel - 1, -(-duration_ms // 100))


MODBUS_READ_RELAYS = modbus.request(MODBUS_UNIT, modbus.READ_COILS, 0, 8)
MODBUS_READ_RELAYS_REPLY_BYTES = 6


class LcusGate(VitalPart):
    """Relay that we switch on and off: off whenever the port opens or closes, but a killed agent leaves it as it was.

    The board never answers, so health says only that the port is open.
    """

    def __init__(self, port: str, channel: int) -> None:
        self._on, off = lcus_command(channel, on=True), lcus_command(channel, on=False)
        self._off = off
        self._line = SerialLine("gate", port, bauds=(BAUD,), silence_s=None, hello=(off,), farewell=off)
        super().__init__(self._line.vitals)
        self.vitals.counters["pulses"] = 0
        self._holders = 0

    async def run(self) -> None:
        """Keep the port open until cancelled."""
        await self._line.run(lambda _data, _at_s: False)

    async def pulse(self, duration_ms: int) -> None:
        """Hold the gate open for `duration_ms`; pulses that overlap hold it until the last ends."""
        _check_duration(duration_ms)
        await self._line.write(self._on)
        self.vitals.counters["pulses"] += 1
        self._holders += 1
        try:
            await asyncio.sleep(duration_ms / 1000)
        finally:
            self._holders -= 1
            if not self._holders:
                with suppress(DeviceLost):  # known to the line, which switches off first thing when it is back
                    await self._line.write(self._off)


class ModbusGate(VitalPart):
    """Relay whose board times the pulse: the gate falls back even if the agent dies in the middle.

    The board is asked every second whether it lives.
    """

    def __init__(self, port: str, channel: int) -> None:
        self._line = SerialLine("gate", port, bauds=(BAUD,), silence_s=SILENCE_S)
        super().__init__(self._line.vitals)
        self.vitals.counters["pulses"] = 0
        self._channel = channel
        self._turn = asyncio.Lock()  # one question on the wire at a time
        self._asked = b""
        self._reply_bytes = 0
        self._received = b""
        self._answered: asyncio.Future[int] | None = None

    async def run(self) -> None:
        """Keep the port open and the board asked, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._line.run(self._take), name="gate line")
            tasks.create_task(self._check(), name="gate check")

    async def pulse(self, duration_ms: int) -> None:
        """Hold the gate open for `duration_ms`; raises DeviceRefused when the board has no such relay or function."""
        _check_duration(duration_ms)
        request = modbus_pulse(self._channel, duration_ms)
        exception = await self._ask(request, len(request))
        if exception:
            raise DeviceRefused(f"the gate's board answers a pulse of relay {self._channel} with exception {exception}")
        self.vitals.counters["pulses"] += 1
        await asyncio.sleep(duration_ms / 1000)

    async def _check(self) -> None:
        while True:
            with suppress(DeviceLost):  # the line counts the silence; any answer, a refusal too, is a sign of life
                await self._ask(MODBUS_READ_RELAYS, MODBUS_READ_RELAYS_REPLY_BYTES)
            await asyncio.sleep(CHECK_EVERY_S)

    async def _ask(self, request: bytes, reply_bytes: int) -> int:
        """Send `request`; returns 0 for its intact reply of `reply_bytes`, else the number of the board's exception."""
        async with self._turn:
            self._answered = asyncio.get_running_loop().create_future()
            self._asked, self._reply_bytes, self._received = request, reply_bytes, b""
            await self._line.write(request)
            try:
                return await asyncio.wait_for(self._answered, REPLY_LIMIT_S)
            except TimeoutError as exc:
                raise DeviceLost("the gate's board does not answer") from exc

    def _take(self, data: bytes, _at_s: float) -> bool:
        if self._answered is None or self._answered.done():
            return False
        self._received = (self._received + data)[:REPLY_CAP_BYTES]
        answer = modbus.answer(self._asked, self._received, self._reply_bytes)
        if answer is None:
            return False
        self._answered.set_result(answer)
        self.vitals.ok()
        return True


class NoGate(VitalPart):
    """No gate is wired: a pulse takes its time and is counted, no more."""

    def __init__(self) -> None:
        super().__init__(Vitals("gate"))
        self.vitals.counters["pulses"] = 0

    async def run(self) -> None:
        """Nothing to do until cancelled."""
        self.vitals.ok("no gate is wired")
        await asyncio.Event().wait()

    async def pulse(self, duration_ms: int) -> None:
        """Wait as long as a gate would stand open."""
        _check_duration(duration_ms)
        self.vitals.counters["pulses"] += 1
        await asyncio.sleep(duration_ms / 1000)


GATES: dict[str, Callable[[str, int], Gate]] = {
    "lcus": LcusGate,
    "modbus-relay": ModbusGate,
    "none": lambda _port, _channel: NoGate(),
}


def make_gate(*, driver: str, port: str = "", channel: int = 1) -> Gate:
    """The gate `driver` on `port`, relay `channel` from 1; `modbus-relay` is the safe one: its board ends the pulse."""
    make = GATES.get(driver)
    if make is None:
        raise BadSetting(f"gate driver {driver!r} is not known; accepted: {', '.join(sorted(GATES))}")
    if channel not in CHANNELS:
        raise BadSetting(f"channel {channel} does not exist; accepted: {CHANNELS.start} to {CHANNELS.stop - 1}")
    return make(port, channel)


def _check_duration(duration_ms: int) -> None:
    if not 0 < duration_ms <= MAX_PULSE_MS:
        raise BadSetting(f"a pulse of {duration_ms} ms is not possible; accepted: 1 to {MAX_PULSE_MS}")
