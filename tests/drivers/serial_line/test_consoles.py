"""A console of the kernel is not a port for a device: nothing opens it, nothing is written to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.errors import DeviceLost
from drivers.serial_line import consoles
from drivers.serial_line.consoles import is_console
from drivers.serial_line.open_port import open_port
from drivers.simulated.devices.wire import PtyWire
from drivers.tools.probe import ProbeTimeouts, probe_all


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[PtyWire]:
    with PtyWire(tmp_path / "port") as plugged:
        yield plugged


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kernel lists as its consoles."""
    path = tmp_path / "consoles"
    monkeypatch.setattr(consoles, "CONSOLES", path)
    return path


def line_of(wire: PtyWire, name: str = "ttyS0") -> str:
    device = wire.link.stat().st_rdev
    return f"{name:<21}-W- (EC  p a)  {os.major(device):>3}:{os.minor(device)}\n"


async def test_probe_writes_nothing_to_a_console(wire: PtyWire, listed: Path) -> None:
    listed.write_text("tty0                 -WU (E     )    4:1\n" + line_of(wire))
    [found] = await probe_all([str(wire.link)], ProbeTimeouts(0.05, 0.05))
    assert (found.guess.driver, wire.read()) == ("", b"")
    assert "console of the kernel" in found.line() and "内核控制台" in found.line()


@pytest.mark.parametrize("text", ["", "tty0 -WU (E ) 4:1\n", "ttynull\n", "\n", "ttyS0 -W- (EC p a) x:y\n"])
async def test_another_port_is_probed(wire: PtyWire, listed: Path, text: str) -> None:
    listed.write_text(text)
    await probe_all([str(wire.link)], ProbeTimeouts(0.05, 0.05))
    assert wire.read()


def test_every_way_to_open_it_is_refused(wire: PtyWire, listed: Path, tmp_path: Path) -> None:
    listed.write_text(line_of(wire))
    (tmp_path / "by-id").symlink_to(wire.link)
    for path in (wire.link, tmp_path / "by-id"):
        with pytest.raises(DeviceLost, match="console of the kernel"), open_port(str(path), 9600):
            pass
    assert wire.read() == b""


def test_a_kernel_that_lists_none(wire: PtyWire, listed: Path) -> None:
    assert not listed.exists()
    assert not is_console(str(wire.link))
    assert not is_console("/dev/does-not-exist")
