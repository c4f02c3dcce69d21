"""Wall clock, monotonic clock and how far the first can be trusted."""

from __future__ import annotations

import ctypes
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_agent.domain.passage import Moment
from sync.contract.records import Clock

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5
_TIMESYNCD = Path("/run/systemd/timesync/synchronized")  # touched at each synchronisation, every 34 min at the latest
_TRUSTED_S = 2 * 2048.0
_FIRST_ERROR_S = 0.1
_DRIFT = 500e-6  # what the kernel itself reckons with
_PLATFORM_ERROR_S = 60.0  # a directory page is at most 30 s old when the broker delivers it


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
    """Stamps instants; asks the kernel whether NTP keeps the wall clock in sync.

    While NTP does not, time continues by the monotonic clock from the last instant that NTP or the platform confirmed
    since the box started. Without such an instant the error is not known: a clock without a battery stands still while
    its box is off.
    """

    def __init__(self, synchronized: Path = _TIMESYNCD) -> None:
        """`synchronized` is asked where the kernel may not be."""
        self._synchronized = synchronized
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        self._adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
        self._confirmed: Moment | None = None  # with a known error

    def now(self) -> Moment:
        """This instant."""
        now = self.own()
        if now.error_s is not None:
            self._confirmed = now
        return now if self._confirmed is None else _continued(self._confirmed, now)

    def own(self) -> Moment:
        """This instant by the system clock, whatever the platform says: orders are judged by it."""
        in_sync, error_s = self._quality()
        return Moment(datetime.now(UTC), time.monotonic(), self.boot_id, in_sync, error_s)

    def confirm(self, platform_time: datetime) -> None:
        """Note the time stamp of a directory page that was received now; a more exact time stays."""
        stated = Moment(platform_time, time.monotonic(), self.boot_id, False, _PLATFORM_ERROR_S)
        known_s = self.now().error_s
        if known_s is None or known_s > _PLATFORM_ERROR_S:
            self._confirmed = stated

    def resume(self, confirmed: Clock | None) -> None:
        """Continue from an instant that an earlier run of the agent stored, if the box has run since then."""
        if self._confirmed is None and confirmed is not None and confirmed.boot_id == self.boot_id:
            error_s = None if confirmed.error_ms is None else confirmed.error_ms / 1000
            stored = Moment(confirmed.wall, confirmed.monotonic_ms / 1000, self.boot_id, False, error_s)
            self._confirmed = stored if error_s is not None else None

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


def _continued(confirmed: Moment, now: Moment) -> Moment:
    """`now` by an instant of the same boot whose error is known."""
    if now.error_s is not None or confirmed.error_s is None:
        return now
    passed_s = now.monotonic_s - confirmed.monotonic_s
    wall = confirmed.wall + timedelta(seconds=passed_s)
    return replace(now, wall=wall, error_s=confirmed.error_s + passed_s * _DRIFT)


def _by_timesyncd(touched: Path) -> tuple[bool, float | None]:
    """What systemd-timesyncd says: where the clock is protected (ProtectClock=) the kernel may not even be asked."""
    try:
        age_s = time.time() - touched.stat().st_mtime
    except OSError:
        return False, None
    if not 0 <= age_s <= _TRUSTED_S:
        return False, None
    return True, _FIRST_ERROR_S + age_s * _DRIFT
