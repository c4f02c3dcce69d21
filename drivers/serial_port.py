"""One serial line that stays open: the only file that knows pyserial.

pyserial opens and configures the port; bytes are then taken on the event loop without a thread.
"""

from __future__ import annotations

import asyncio
import errno
import os
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import serial

from drivers.errors import BadSetting, DeviceLost
from drivers.vitals import Vitals

CHUNK_BYTES = 4096
RETRY_FIRST_S = 0.2
RETRY_CAP_S = 1.0  # a device that returns is read again well under 3 s
CHECK_EVERY_S = 0.25  # between two looks at what the path leads to
COMMAND_GAP_S = 0.05  # small modules take one command at a time

OnBytes = Callable[[bytes, float], bool]
"""Takes bytes and the second they came, b"" when none came for `quiet_s`; says whether they ended something whole."""


class SerialLine:
    """Keeps `port` (a path, symlinks welcome) open 8N1 and exclusive, and reopens it whenever it is lost.

    `bauds`: tried in turn while nothing is understood; the first that makes sense is kept.
    `silence_s`: understanding nothing for so long is a lost device; None for one that may rightly be silent.
    `hello`: commands written each time the port opens; `farewell`: written before it is closed by us.
    """

    def __init__(
        self,
        name: str,
        port: str,
        *,
        bauds: Sequence[int],
        silence_s: float | None,
        quiet_s: float = 0.25,
        hello: Sequence[bytes] = (),
        farewell: bytes = b"",
    ) -> None:
        if not port or not bauds or any(baud not in serial.Serial.BAUDRATES for baud in bauds):
            raise BadSetting(f"{name}: {port!r} at {list(bauds)} cannot be opened; accepted: a path, a standard rate")
        self.vitals = Vitals(name)
        self.port = port
        self._bauds = tuple(bauds)
        self._silence_s = silence_s
        self._quiet_s = quiet_s
        self._hello = tuple(hello)
        self._farewell = farewell
        self._open_port: serial.Serial | None = None
        self._has_reader = False

    async def run(self, on_bytes: OnBytes) -> None:
        """Read until cancelled. A line has one reader: a second one raises RuntimeError."""
        if self._has_reader:
            raise RuntimeError(f"{self.vitals.name}: {self.port} already has a reader")
        self._has_reader = True
        try:
            await self._keep_open(on_bytes)
        finally:
            self._has_reader = False

    async def write(self, data: bytes) -> None:
        """Write `data` (a command, well below the 4 KiB the kernel takes at once) whole, or raise DeviceLost."""
        if self._open_port is None:
            raise DeviceLost(f"{self.vitals.name} is not connected")
        try:
            # Not pyserial's write: with no timeout it spins on a full buffer, with one it blocks the loop.
            taken = os.write(self._open_port.fileno(), data)
        except OSError as exc:
            raise DeviceLost(f"{self.vitals.name} takes no bytes: {os.strerror(exc.errno or 0)}") from exc
        if taken < len(data):
            raise DeviceLost(f"{self.vitals.name} took {taken} of {len(data)} bytes")

    async def _keep_open(self, on_bytes: OnBytes) -> None:
        pause_s = RETRY_FIRST_S
        while True:
            opened_s = time.monotonic()
            try:
                with self._opened() as port:
                    await self._serve(port, on_bytes)
            except DeviceLost as exc:
                self.vitals.lost(str(exc))
            if time.monotonic() - opened_s > RETRY_CAP_S:
                pause_s = RETRY_FIRST_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_CAP_S)

    @contextmanager
    def _opened(self) -> Iterator[serial.Serial]:
        try:
            port = serial.Serial(self.port, self._bauds[0], timeout=0, exclusive=True)
        except (OSError, termios.error) as exc:
            raise DeviceLost(f"cannot open {self.port}: {_reason(exc)}") from exc
        self._open_port = port
        self.vitals.counters["opened"] += 1
        try:
            yield port
        finally:
            self._open_port = None
            if self._farewell:
                with suppress(OSError):
                    os.write(port.fileno(), self._farewell)
            port.close()

    async def _serve(self, port: serial.Serial, on_bytes: OnBytes) -> None:
        """Read one opened port until it is lost, which always ends in DeviceLost."""
        if self._silence_s is None:
            self.vitals.ok()
        for command in self._hello:
            await self.write(command)
            await asyncio.sleep(COMMAND_GAP_S)
        understood_s = checked_s = time.monotonic()
        wait_s = self._quiet_s
        while True:
            await _readable(port.fileno(), wait_s)
            data = _read(port)
            now_s = time.monotonic()
            if on_bytes(data, now_s):
                understood_s = now_s
                self._bauds = self._bauds[:1]
            # Silence after bytes may end a reading and is told soon; silence after silence tells nothing new.
            wait_s = self._quiet_s if data else max(self._quiet_s, CHECK_EVERY_S)
            if now_s - checked_s >= CHECK_EVERY_S:
                checked_s = now_s
                self._check_path(port)
            if self._silence_s is not None and now_s - understood_s > self._silence_s:
                self._bauds = (*self._bauds[1:], self._bauds[0])
                raise DeviceLost(f"nothing understood on {self.port} for {self._silence_s:g} s at {port.baudrate} baud")

    def _check_path(self, port: serial.Serial) -> None:
        """A path that is gone or now names another device means that ours was unplugged."""
        try:
            same = os.path.samestat(Path(self.port).stat(), os.fstat(port.fileno()))
        except OSError as exc:
            raise DeviceLost(f"{self.port} is gone") from exc
        if not same:
            raise DeviceLost(f"{self.port} is another device now")


async def _readable(fd: int, limit_s: float) -> None:
    """Wait until `fd` has bytes (or its end), for `limit_s` at most."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, ready.cancel)  # done is done, and cancelling twice is harmless
    try:
        await asyncio.wait({ready}, timeout=limit_s)
    finally:
        loop.remove_reader(fd)


def _read(port: serial.Serial) -> bytes:
    """What is there now; asked after a quiet wait too, for a loop that was held up must not take bytes for silence."""
    try:
        return bytes(port.read(CHUNK_BYTES))
    except OSError as exc:  # SerialException is one; an unplugged port also gives bare OSError(EIO)
        raise DeviceLost(f"{port.port} was unplugged") from exc


def _reason(exc: BaseException) -> str:
    """Why a port did not open, without the words pyserial wraps around it."""
    number = exc.args[0] if exc.args and isinstance(exc.args[0], int) else None
    if number == errno.EAGAIN:
        return "another program has it open"
    return os.strerror(number) if number else str(exc)
