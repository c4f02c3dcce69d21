"""Modbus relay boards (Waveshare and compatible): the board times the pulse and has inputs.

Confidence V2: layouts from several public sources, CRCs recomputed; inputs are read with Modbus function 2. Detecting
a passage needs a sensor on one of the inputs.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from drivers.device_health import MonitoredDevice
from drivers.errors import DeviceLost, DeviceRefused
from drivers.gates.wiring import BAUD, Wiring, check_duration
from drivers.serial_line import modbus
from drivers.serial_line.serial_line import SerialLine

MODBUS_UNIT = 1
REPLY_LIMIT_S = 0.5  # the boards answer in about 20 ms at 9600 baud
REPLY_CAP_BYTES = 64
CHECK_EVERY_S = 1.0
BEAM_POLL_S = 0.03  # with 15 ms on the wire, some 20 samples a second; a person breaks the beam for longer
BEAM_WATCH_S = 10.0  # after a pulse
SILENCE_S = 2.5


def modbus_pulse(channel: int, duration_ms: int) -> bytes:
    """Request: close relay `channel` (from 1) for `duration_ms`, rounded up to tenths of a second (Waveshare)."""
    return modbus.request(MODBUS_UNIT, modbus.WRITE_COIL, 0x0200 + channel - 1, -(-duration_ms // 100))


def modbus_switch(channel: int, *, on: bool) -> bytes:
    """Request: switch relay `channel` (from 1) permanently."""
    return modbus.request(MODBUS_UNIT, modbus.WRITE_COIL, channel - 1, modbus.COIL_ON if on else modbus.COIL_OFF)


MODBUS_READ_RELAYS = modbus.request(MODBUS_UNIT, modbus.READ_COILS, 0, 8)
MODBUS_READ_INPUTS = modbus.request(MODBUS_UNIT, modbus.READ_INPUTS, 0, 8)
MODBUS_READ_REPLY_BYTES = 6  # eight relays or inputs, one bit each in the fourth byte


class LightBarrier:
    """State of the passage sensor since one pulse; `crossed` is set when the beam was broken and closes again."""

    def __init__(self) -> None:
        self.crossed = asyncio.Event()
        self._broken = False

    def add_sample(self, *, broken: bool) -> None:
        """Process one sample of the sensor."""
        if self._broken and not broken:
            self.crossed.set()
        self._broken = broken


class ModbusGate(MonitoredDevice):
    """Gate on a relay whose pulse is timed by the board: the gate closes even if the agent dies during the pulse.

    The board is polled every second, and after a pulse every BEAM_POLL_S to sample the passage sensor.
    """

    def __init__(self, port: str, wiring: Wiring) -> None:
        lamp_off = modbus_switch(wiring.lamp, on=False) if wiring.lamp else b""
        start_up = (lamp_off,) if lamp_off else ()
        self._line = SerialLine("gate", port, bauds=(BAUD,), silence_s=SILENCE_S, start_up=start_up, shut_down=lamp_off)
        super().__init__(self._line.device_health)
        self.device_health.counters["pulses"] = 0
        self._wiring = wiring
        self._beam = LightBarrier()
        self._wake = asyncio.Event()
        self._beam_until_s = 0.0
        self._request_lock = asyncio.Lock()  # one request on the wire at a time
        self._request = b""
        self._reply_bytes = 0
        self._received = b""
        self._reply = b""
        self._answered: asyncio.Future[int] | None = None

    async def run(self) -> None:
        """Keep the port open and poll the board until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._line.run(self._receive), name="gate line")
            tasks.create_task(self._check(), name="gate check")

    async def pulse(self, duration_ms: int) -> None:
        """Hold the gate open for `duration_ms`. Raises DeviceRefused when the board lacks the relay or function."""
        check_duration(duration_ms)
        self._beam = LightBarrier()
        await self._command(modbus_pulse(self._wiring.gate, duration_ms), f"a pulse of relay {self._wiring.gate}")
        self.device_health.counters["pulses"] += 1
        self._watch_beam(BEAM_WATCH_S)
        await asyncio.sleep(duration_ms / 1000)

    async def light(self, *, on: bool) -> None:
        """Switch the lamp."""
        if self._wiring.lamp:
            await self._command(modbus_switch(self._wiring.lamp, on=on), f"relay {self._wiring.lamp}")

    async def passed(self, limit_s: float) -> bool:
        """Whether the beam was broken and closed again since the last pulse; waits at most `limit_s`."""
        if not self._wiring.passage:
            return False
        self._watch_beam(limit_s)
        try:
            async with asyncio.timeout(limit_s):
                await self._beam.crossed.wait()
        except TimeoutError:
            return False
        return True

    def _watch_beam(self, for_s: float) -> None:
        """Sample the sensor every BEAM_POLL_S for the next `for_s`."""
        self._beam_until_s = max(self._beam_until_s, time.monotonic() + for_s)
        self._wake.set()

    async def _check(self) -> None:
        while True:
            with suppress(DeviceLost):  # the line detects silence itself; any reply, also an exception, counts as life
                await self._poll_board()
            await self._pause()

    async def _poll_board(self) -> None:
        """Read the inputs where a passage sensor is wired, else the relays."""
        passage = self._wiring.passage
        refused = await self._ask(MODBUS_READ_INPUTS if passage else MODBUS_READ_RELAYS, MODBUS_READ_REPLY_BYTES)
        if passage and refused:
            self.device_health.broken(f"the board has no inputs: it replies with exception {refused}")
            return
        self.device_health.ok()
        if passage:
            self._beam.add_sample(broken=bool(self._reply[3] >> passage - 1 & 1))

    async def _pause(self) -> None:
        """Wait BEAM_POLL_S while a passage is awaited, else CHECK_EVERY_S or until the next pulse."""
        awaited = self._wiring.passage and not self._beam.crossed.is_set()
        if awaited and time.monotonic() < self._beam_until_s:
            await asyncio.sleep(BEAM_POLL_S)
            return
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(CHECK_EVERY_S):
                await self._wake.wait()

    async def _command(self, request: bytes, what: str) -> None:
        """Send a write, which the board confirms by repeating it. Raises DeviceRefused, DeviceLost."""
        exception = await self._ask(request, len(request))
        if exception:
            raise DeviceRefused(f"the gate's board rejects {what} with exception {exception}")

    async def _ask(self, request: bytes, reply_bytes: int) -> int:
        """Send `request`; returns 0 for a valid reply of `reply_bytes`, else the exception code. Raises DeviceLost."""
        async with self._request_lock:
            self._answered = asyncio.get_running_loop().create_future()
            self._request, self._reply_bytes, self._received = request, reply_bytes, b""
            await self._line.write(request)
            try:
                async with asyncio.timeout(REPLY_LIMIT_S):
                    return await self._answered
            except TimeoutError as exc:
                raise DeviceLost("the gate's board does not answer") from exc

    def _receive(self, data: bytes, _at_s: float) -> bool:
        if self._answered is None or self._answered.done():
            return False
        self._received = (self._received + data)[-REPLY_CAP_BYTES:]
        for start in range(len(self._received)):  # skips noise and a late reply to an earlier request
            self._reply = self._received[start:]
            answer = modbus.answer(self._request, self._reply, self._reply_bytes)
            if answer is not None:
                self._answered.set_result(answer)
                return True
        return False
