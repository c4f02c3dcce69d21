"""The age of this process by the boot clock: a box without a battery sets its wall clock only after the start."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STARTED = 19  # 22nd field of /proc/PID/stat, counted after the name: clock ticks from boot to start, see proc(5)


def age_s() -> float:
    """Seconds since the process was created, including suspended time."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_STARTED]) / os.sysconf("SC_CLK_TCK")
