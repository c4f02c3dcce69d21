"""The pty wire: bytes reach the host, nothing blocks, the cable can be pulled."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.simulated.devices.qr import LineEnd, SimulatedQrReader
from drivers.simulated.devices.wire import PtyWire


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[PtyWire]:
    with PtyWire(tmp_path / "dev" / "line") as plugged:
        yield plugged


@pytest.fixture
def host(wire: PtyWire) -> Iterator[int]:
    fd = os.open(wire.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    yield fd
    os.close(fd)


def is_gone(fd: int) -> bool:
    """Whether a port reports, by end of file or EIO, that its device is gone."""
    try:
        return os.read(fd, 10) == b""
    except OSError as exc:
        return exc.errno == errno.EIO


def test_bytes_pass_unchanged_both_ways(wire: PtyWire, host: int) -> None:
    everything = bytes(range(256))
    assert wire.write(everything) == 256
    assert os.read(host, 4096) == everything
    os.write(host, everything)
    assert wire.read() == everything
    assert wire.read() == b""


def test_a_host_that_is_not_there_misses_what_was_sent(wire: PtyWire) -> None:
    assert wire.write(b"early") == 0
    assert wire.dropped_bytes == 5
    late = os.open(wire.link, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        os.read(late, 100)
    os.close(late)


def test_a_host_that_does_not_read_never_blocks_the_device(wire: PtyWire, host: int) -> None:
    taken = sum(wire.write(b"x" * 1544) for _ in range(100))
    assert 0 < taken < 154_400
    assert wire.dropped_bytes == 154_400 - taken


def test_unplugging_ends_the_port_and_plugging_brings_it_back(wire: PtyWire, host: int, tmp_path: Path) -> None:
    wire.unplug()
    assert not wire.link.exists()
    assert wire.write(b"gone") == 0
    assert is_gone(host)
    wire.plug(tmp_path / "another")
    fresh = os.open(tmp_path / "another", os.O_RDONLY | os.O_NOCTTY)
    wire.write(b"back")
    assert os.read(fresh, 10) == b"back"
    os.close(fresh)


def test_a_stale_link_of_a_killed_process_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "line").symlink_to("/dev/pts/nobody")
    with PtyWire(tmp_path / "line") as wire:
        assert stat.S_ISCHR(wire.link.stat().st_mode)


@pytest.mark.parametrize("line_end", LineEnd)
def test_the_reader_ends_a_code_as_set(wire: PtyWire, host: int, line_end: LineEnd) -> None:
    SimulatedQrReader(wire, line_end).show("SHC1:text")
    assert os.read(host, 100) == b"SHC1:text" + line_end.value
