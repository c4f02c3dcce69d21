"""Wall clock, monotonic clock and how far the first can be trusted."""

from __future__ import annotations

import ctypes
import time
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.domain.passage import Moment

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5
_TIMESYNCD = Path("/run/systemd/timesync/synchronized")  # touched at each synchronisation, every 34 min at the latest
_TRUSTED_S = 2 * 2048.0
_FIRST_ERROR_S = 0.1
_DRIFT = 500e-6  # what the kernel itself reckons with


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

    def __init__(self, synchronized: Path = _TIMESYNCD) -> None:
        """`synchronized` is asked where the kernel may not be."""
        self._synchronized = synchronized
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
        if state == -1:
            return _by_timesyncd(self._synchronized)
        if state == _TIME_ERROR or timex.status & _STA_UNSYNC:
            return False, None
        return True, timex.maxerror / 1e6


def _by_timesyncd(touched: Path) -> tuple[bool, float | None]:
    """What systemd-timesyncd says: where the clock is protected (ProtectClock=) the kernel may not even be asked."""
    try:
        age_s = time.time() - touched.stat().st_mtime
    except OSError:
        return False, None
    if not 0 <= age_s <= _TRUSTED_S:
        return False, None
    return True, _FIRST_ERROR_S + age_s * _DRIFT
