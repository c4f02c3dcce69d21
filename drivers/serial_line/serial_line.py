"""A serial line that reopens its port whenever it is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle

from drivers.device_health import DeviceHealth
from drivers.errors import BadSetting, DeviceLost
from drivers.reopening import keep_open
from drivers.serial_line.open_port import BAUDS, OpenPort, open_port
from drivers.serial_line.ports import check_name, resolve

CHECK_EVERY_S = 0.25  # interval of the check that the path still leads to the device
COMMAND_GAP_S = 0.05  # small modules process one command at a time
LOOP_DELAY_S = 0.02  # a wait that ends later than this was delayed by the event loop

OnBytes = Callable[[bytes, float], bool]
"""Receives bytes and their monotonic second, b"" after silence of `quiet_s`; returns whether a frame was decoded."""


class SerialLine:
    """Keeps `port` open 8N1 with an exclusive lock, and reopens it whenever it is lost.

    `port`: a path (preferably a link) or a name as in `ports.py`; resolved by `find_port` at every open.
    `bauds`: tried in turn until a frame is decoded; the first rate that works is used from then on.
    `silence_s`: without a decoded frame for this long the device is lost; None for a device that may be silent.
    `start_up`: commands written each time the port opens; `shut_down`: written before the driver closes the port.
    """

    def __init__(
        self,
        name: str,
        port: str,
        *,
        bauds: Sequence[int],
        silence_s: float | None,
        quiet_s: float = 0.25,
        start_up: Sequence[bytes] = (),
        shut_down: bytes = b"",
        find_port: Callable[[str], str] = resolve,
    ) -> None:
        check_name(port)
        if not bauds or not BAUDS.issuperset(bauds):
            raise BadSetting(f"{name}: {port} at {list(bauds)} baud cannot be opened; accepted: standard rates")
        self.device_health = DeviceHealth(name)
        self.port = port
        self._bauds = tuple(bauds)
        self._silence_s = silence_s
        self._quiet_s = quiet_s
        self._start_up = tuple(start_up)
        self._shut_down = shut_down
        self._find_port = find_port
        self._open_port: OpenPort | None = None
        self._on_bytes: OnBytes | None = None
        self._received_s = self._decoded_s = 0.0  # monotonic, of this connection

    async def run(self, on_bytes: OnBytes) -> None:
        """Read until cancelled. A line has one reader: a second one raises RuntimeError."""
        if self._on_bytes is not None:
            raise RuntimeError(f"{self.device_health.name}: {self.port} already has a reader")
        self._on_bytes = on_bytes
        try:
            await keep_open(self._read_until_lost, self.device_health)
        finally:
            self._on_bytes = None

    async def write(self, data: bytes) -> None:
        """Write all of `data`. Raises DeviceLost."""
        if self._open_port is None:
            raise DeviceLost(f"{self.device_health.name} is not connected")
        self._open_port.write(data)

    async def ask(self, queries: Sequence[bytes], every_s: float, before_query: Callable[[bytes], None]) -> None:
        """Write the queries in turn until cancelled, one every `every_s`; calls `before_query` before each."""
        for query in cycle(queries):
            with suppress(DeviceLost):  # the reading task detects this itself and reopens
                self._read_available()
            before_query(query)
            with suppress(DeviceLost):
                await self.write(query)
            await asyncio.sleep(every_s)

    def _read_available(self) -> bool:
        """Read the available data, so that after a delay it is not matched with the next query; returns whether any."""
        if self._open_port is None or not (data := self._open_port.read()):
            return False
        self._received_s = time.monotonic()
        self._deliver(data, self._received_s)
        return True

    def _deliver(self, data: bytes, at_s: float) -> None:
        if self._on_bytes is not None and self._on_bytes(data, at_s):
            self._decoded_s = at_s
            self._bauds = self._bauds[:1]

    async def _read_until_lost(self) -> None:
        with self._open() as port:
            await self._read_open_port(port)

    @contextmanager
    def _open(self) -> Iterator[OpenPort]:
        with open_port(self._find_port(self.port), self._bauds[0]) as port:
            self._open_port = port
            self.device_health.counters["opened"] += 1
            try:
                yield port
            finally:
                self._open_port = None
                if self._shut_down:
                    with suppress(DeviceLost):
                        port.write(self._shut_down)

    async def _read_open_port(self, port: OpenPort) -> None:
        """Read an open port until it is lost; always ends with DeviceLost."""
        if self._silence_s is None:
            self.device_health.ok()
        for command in self._start_up:
            await self.write(command)
            await asyncio.sleep(COMMAND_GAP_S)
        self._received_s = self._decoded_s = checked_s = time.monotonic()
        wait_s = self._quiet_s
        while True:
            await self._wait_for_data(port, wait_s)
            now_s = time.monotonic()
            quiet = now_s - self._received_s >= self._quiet_s
            if quiet:
                self._deliver(b"", now_s)
            # Silence after data may end a frame and is delivered soon; continued silence needs only the slow checks.
            wait_s = max(self._quiet_s, CHECK_EVERY_S) if quiet else self._quiet_s
            if now_s - checked_s >= CHECK_EVERY_S:
                checked_s = now_s
                port.check_path()
            if self._silence_s is not None and now_s - self._decoded_s > self._silence_s:
                self._bauds = (*self._bauds[1:], self._bauds[0])
                raise DeviceLost(f"no valid data on {port.path} for {self._silence_s:g} s at {port.baud} baud")

    async def _wait_for_data(self, port: OpenPort, for_s: float) -> None:
        """Read the data that arrives within `for_s`.

        If the event loop was delayed, data may still be in the kernel: wait once more before reporting silence.
        """
        due_s = time.monotonic() + for_s
        await port.readable(for_s)
        if not self._read_available() and time.monotonic() > due_s + LOOP_DELAY_S:
            await port.readable(for_s)
            self._read_available()
