"""A simulated serial cable: a pseudo-terminal under a stable name that can be unplugged and plugged in again."""

from __future__ import annotations

import os
import select
import tty
from pathlib import Path
from types import TracebackType

READ_SIZE = 4096


class PtyWire:
    """The device end of a serial line; the host opens `link` like a serial port.

    No method blocks: data that the host cannot receive (not open, or its buffer is full) is dropped and counted, as on
    a real line. A pty ignores the baud rate, so the simulated device must pace itself.
    """

    def __init__(self, link: Path) -> None:
        self._link = link
        self._fd: int | None = None
        self.dropped_bytes = 0
        self.times_plugged = 0  # a change means that the device lost its power and restarted

    def __enter__(self) -> PtyWire:
        self.plug()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()

    @property
    def link(self) -> Path:
        """The path that the host opens."""
        return self._link

    @property
    def plugged(self) -> bool:
        """Whether the port exists."""
        return self._fd is not None

    def plug(self, link: Path | None = None) -> None:
        """Create the port, under another name if `link` is given; no effect while plugged in."""
        if self._fd is not None:
            return
        self._link = link or self._link
        master, slave = os.openpty()
        try:
            tty.setraw(slave)
            os.set_blocking(master, False)
            point(self._link, os.ttyname(slave))
        except OSError:
            os.close(master)
            raise
        finally:
            # An open slave here would hide whether the host has the port open.
            os.close(slave)
        self._fd = master
        self.times_plugged += 1

    def unplug(self) -> None:
        """Remove the port; a host that has it open gets an error or end of file immediately."""
        if self._fd is None:
            return
        self._link.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = None

    def write(self, data: bytes) -> int:
        """Send `data`; returns the number of bytes that the host's buffer accepted."""
        taken = 0
        if self._fd is not None and _has_host(self._fd):
            try:
                taken = os.write(self._fd, data)
            except OSError:  # EAGAIN: the buffer is full; EIO: the host has just closed the port
                taken = 0
        self.dropped_bytes += len(data) - taken
        return taken

    def read(self) -> bytes:
        """Data that the host sent since the last call; empty for none."""
        if self._fd is None:
            return b""
        try:
            return os.read(self._fd, READ_SIZE)
        except OSError:  # EIO: the port is not open; EAGAIN: no data
            return b""


def _has_host(fd: int) -> bool:
    """Whether the host has the port open; otherwise the kernel would buffer written data for the next host."""
    poll = select.poll()
    poll.register(fd, 0)
    return not poll.poll(0)  # without requested events, only a hang-up is reported


def point(link: Path, device: str) -> None:
    """Make `link` point to `device` atomically, replacing a link left by a killed process."""
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(link.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(device)
    fresh.replace(link)
