"""How old this process is, by a clock that nobody sets: a box without a battery learns the date after its start."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STARTED = 19  # the 22nd field of proc(5)'s stat, counted from behind the name: clock ticks since the boot


def age_s() -> float:
    """Seconds since the process was made, time asleep included."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_STARTED]) / os.sysconf("SC_CLK_TCK")
