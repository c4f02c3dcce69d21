"""A serial cable without a port: a pseudo-terminal under a stable name that can be pulled out and put back."""

from __future__ import annotations

import os
import select
import tty
from pathlib import Path
from types import TracebackType

READ_SIZE = 4096


class PtyWire:
    """The device's end of a serial line; the host opens `link` like any serial port.

    Nothing here blocks: what the host does not take (nobody there, or its buffer full) is dropped and counted, as on a
    real line. A pty accepts any speed and ignores it, so the device on the wire paces itself.
    """

    def __init__(self, link: Path) -> None:
        self._link = link
        self._fd: int | None = None
        self.dropped_bytes = 0
        self.times_plugged = 0  # a device that sees it move has lost and regained its power

    def __enter__(self) -> PtyWire:
        self.plug()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()

    @property
    def link(self) -> Path:
        """The name under which the host finds the port."""
        return self._link

    @property
    def plugged(self) -> bool:
        """Whether the port exists."""
        return self._fd is not None

    def plug(self, link: Path | None = None) -> None:
        """Make the port appear, under another name if `link` is given; plugging twice changes nothing."""
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
            # Were it kept open here, nobody could tell whether the host has it open.
            os.close(slave)
        self._fd = master
        self.times_plugged += 1

    def unplug(self) -> None:
        """Pull the cable: the name goes, and a host that has it open gets an error or end of file at once."""
        if self._fd is None:
            return
        self._link.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = None

    def write(self, data: bytes) -> int:
        """Send `data`; returns how many bytes the host's buffer took."""
        taken = 0
        if self._fd is not None and _has_host(self._fd):
            try:
                taken = os.write(self._fd, data)
            except OSError:  # EAGAIN: the buffer is full; EIO: the host closed the port just now
                taken = 0
        self.dropped_bytes += len(data) - taken
        return taken

    def read(self) -> bytes:
        """What the host has sent since the last call; empty when it sent nothing or is not there."""
        if self._fd is None:
            return b""
        try:
            return os.read(self._fd, READ_SIZE)
        except OSError:  # EIO: nobody has the port open; EAGAIN: nothing sent
            return b""


def _has_host(fd: int) -> bool:
    """Whether somebody has the other end open: else the kernel would keep what is written for the next one to come."""
    poll = select.poll()
    poll.register(fd, 0)
    return not poll.poll(0)  # only a hang-up is told unasked


def point(link: Path, device: str) -> None:
    """Make `link` lead to `device` in one step, over whatever a killed process left there."""
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(link.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(device)
    fresh.replace(link)
