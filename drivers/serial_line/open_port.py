"""One open serial port, read on the event loop without a thread. pyserial is used only to open and configure it."""

from __future__ import annotations

import asyncio
import errno
import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import serial

from drivers.errors import DeviceLost
from drivers.serial_line.consoles import is_console

CHUNK_BYTES = 4096
BAUDS: frozenset[int] = frozenset(serial.Serial.BAUDRATES)


class OpenPort:
    """A port opened 8N1 with an exclusive lock. Every failure raises DeviceLost."""

    def __init__(self, port: serial.Serial) -> None:
        self._port = port
        self._fd: int = port.fileno()
        self.path = str(port.port)
        self.baud = int(port.baudrate)

    async def readable(self, limit_s: float) -> None:
        """Wait at most `limit_s` until there is data or the port is closed."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._fd, ready.cancel)  # only completes the future; cancelling twice is harmless
        try:
            await asyncio.wait({ready}, timeout=limit_s)
        finally:
            loop.remove_reader(self._fd)

    def read(self) -> bytes:
        """The data available now. Call it also after a wait without data: the event loop may have been delayed."""
        try:
            return bytes(self._port.read(CHUNK_BYTES))
        except OSError as exc:  # includes SerialException; an unplugged port also raises a plain OSError(EIO)
            raise DeviceLost(f"{self.path} was unplugged") from exc

    def write(self, data: bytes) -> None:
        """Write all of `data`, which must be well below the 4 KiB that the kernel buffers."""
        try:
            # Not pyserial's write: without a timeout it busy-waits on a full buffer, with one it blocks the loop.
            taken = os.write(self._fd, data)
        except OSError as exc:
            raise DeviceLost(f"{self.path} cannot be written: {os.strerror(exc.errno or 0)}") from exc
        if taken < len(data):
            raise DeviceLost(f"{self.path} accepted only {taken} of {len(data)} bytes")

    def check_path(self) -> None:
        """Raise DeviceLost when the path no longer leads to the open device, which means that it was unplugged."""
        try:
            same = os.path.samestat(Path(self.path).stat(), os.fstat(self._fd))
        except OSError as exc:
            raise DeviceLost(f"{self.path} is gone") from exc
        if not same:
            raise DeviceLost(f"{self.path} now leads to another device")


@contextmanager
def open_port(path: str, baud: int) -> Iterator[OpenPort]:
    """The port at `path`, open for the duration of the block. Raises DeviceLost when it cannot be opened.

    A console of the kernel is never opened: its messages would reach the device, and a query would reach a login.
    """
    if is_console(path):
        raise DeviceLost(
            f"{path} 是内核控制台，请改用其他串口，或从内核参数中去掉 console= 后重启。"
            f" {path} is a console of the kernel: use another port, or remove console= from the kernel's command line"
        )
    try:
        port = serial.Serial(path, baud, timeout=0, exclusive=True)
    except (OSError, termios.error) as exc:
        raise DeviceLost(f"cannot open {path}: {_reason(exc)}") from exc
    try:
        yield OpenPort(port)
    finally:
        port.close()


def _reason(exc: BaseException) -> str:
    """Reason of a failed open, from the error number that pyserial wraps."""
    cause = next(
        (each for each in (exc, exc.__context__) if each and each.args and isinstance(each.args[0], int)), None
    )
    number = cause.args[0] if cause else None
    if number == errno.EAGAIN:
        return "another program has it open"
    if number == errno.ENOTTY:
        return "not a serial port"
    return os.strerror(number) if number else str(exc)
