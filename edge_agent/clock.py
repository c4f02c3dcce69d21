"""Wall clock, monotonic clock and how far the first can be trusted."""

from __future__ import annotations

import ctypes
import time
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.domain import Moment

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """The head of Linux's `struct timex`; the rest is room for the kernel to write into."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


class WallClock:
    """Stamps instants; asks the kernel whether NTP keeps the wall clock in sync."""

    def __init__(self) -> None:
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        self._adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)

    def now(self) -> Moment:
        """This instant."""
        in_sync, error_s = self._quality()
        return Moment(datetime.now(UTC), time.monotonic(), self.boot_id, in_sync, error_s)

    def _quality(self) -> tuple[bool, float | None]:
        if self._adjtimex is None:
            return False, None
        timex = _Timex()
        state = self._adjtimex(ctypes.byref(timex))
        if state in (-1, _TIME_ERROR) or timex.status & _STA_UNSYNC:
            return False, None
        return True, timex.maxerror / 1e6
