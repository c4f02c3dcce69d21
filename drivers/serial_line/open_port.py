"""One opened serial port, read on the event loop without a thread. pyserial opens and configures it, no more."""

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

CHUNK_BYTES = 4096
BAUDS: frozenset[int] = frozenset(serial.Serial.BAUDRATES)


class OpenPort:
    """A port that is open 8N1 and exclusive; every fault of it is DeviceLost."""

    def __init__(self, port: serial.Serial) -> None:
        self._port = port
        self._fd: int = port.fileno()
        self.path = str(port.port)
        self.baud = int(port.baudrate)

    async def readable(self, limit_s: float) -> None:
        """Wait until there are bytes (or the end of the port), for `limit_s` at most."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._fd, ready.cancel)  # done is done, and cancelling twice is harmless
        try:
            await asyncio.wait({ready}, timeout=limit_s)
        finally:
            loop.remove_reader(self._fd)

    def read(self) -> bytes:
        """What is there now. Ask after a quiet wait too: a loop that was held up must not take bytes for silence."""
        try:
            return bytes(self._port.read(CHUNK_BYTES))
        except OSError as exc:  # SerialException is one; an unplugged port also gives bare OSError(EIO)
            raise DeviceLost(f"{self.path} was unplugged") from exc

    def write(self, data: bytes) -> None:
        """Write `data` (a command, well below the 4 KiB the kernel takes at once) whole."""
        try:
            # Not pyserial's write: with no timeout it spins on a full buffer, with one it blocks the loop.
            taken = os.write(self._fd, data)
        except OSError as exc:
            raise DeviceLost(f"{self.path} takes no bytes: {os.strerror(exc.errno or 0)}") from exc
        if taken < len(data):
            raise DeviceLost(f"{self.path} took {taken} of {len(data)} bytes")

    def check_path(self) -> None:
        """A path that is gone or now leads to another device means that ours was unplugged."""
        try:
            same = os.path.samestat(Path(self.path).stat(), os.fstat(self._fd))
        except OSError as exc:
            raise DeviceLost(f"{self.path} is gone") from exc
        if not same:
            raise DeviceLost(f"{self.path} is another device now")


@contextmanager
def open_port(path: str, baud: int) -> Iterator[OpenPort]:
    """The port at `path`, open while the block lasts. Raises DeviceLost when it cannot be had."""
    try:
        port = serial.Serial(path, baud, timeout=0, exclusive=True)
    except (OSError, termios.error) as exc:
        raise DeviceLost(f"cannot open {path}: {_reason(exc)}") from exc
    try:
        yield OpenPort(port)
    finally:
        port.close()


def _reason(exc: BaseException) -> str:
    """Why a port did not open, without the words pyserial wraps around it."""
    cause = next(
        (each for each in (exc, exc.__context__) if each and each.args and isinstance(each.args[0], int)), None
    )
    number = cause.args[0] if cause else None
    if number == errno.EAGAIN:
        return "another program has it open"
    if number == errno.ENOTTY:
        return "it is no serial port"
    return os.strerror(number) if number else str(exc)
