"""The consoles of the kernel: it writes to them, and a login may read them, so no device can be on such a port."""

from __future__ import annotations

import os
from pathlib import Path

CONSOLES = Path("/proc/consoles")
_DEV_CONSOLE = (5, 1)


def is_console(path: str) -> bool:
    """Whether the device at `path` is a console of the kernel; False where that cannot be determined."""
    try:
        device = Path(path).stat().st_rdev
    except OSError:
        return False
    return (os.major(device), os.minor(device)) in {_DEV_CONSOLE, *_listed()}


def _listed() -> set[tuple[int, int]]:
    """Device numbers in `/proc/consoles`: the last word of each line, such as 4:64."""
    try:
        lines = CONSOLES.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return set()
    numbers = (line.split()[-1].partition(":") for line in lines if line.strip())
    return {(int(major), int(minor)) for major, _, minor in numbers if major.isdecimal() and minor.isdecimal()}
