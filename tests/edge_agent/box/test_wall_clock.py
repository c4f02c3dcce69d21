"""Where the kernel may not be asked, the file that systemd-timesyncd touches tells whether the clock is in sync."""

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from edge_agent.box.wall_clock import WallClock
from edge_agent.records.conversion import clock_record


@pytest.mark.parametrize(("age_s", "in_sync"), [(0, True), (2000, True), (5000, False), (-60, False)])
def test_the_age_of_the_last_synchronisation_decides(age_s: int, in_sync: bool, tmp_path: Path) -> None:
    touched = tmp_path / "synchronized"
    touched.touch()
    os.utime(touched, (time.time() - age_s, time.time() - age_s))
    clock = WallClock(touched)
    clock._adjtimex = lambda _timex: -1  # EPERM, as under ProtectClock=
    now = clock.now()
    assert now.in_sync is in_sync
    assert (now.error_s is not None) is in_sync


def test_without_that_file_no_clock_is_trusted(tmp_path: Path) -> None:
    clock = WallClock(tmp_path / "none")
    clock._adjtimex = lambda _timex: -1
    assert not clock.now().in_sync


@pytest.fixture
def alone(tmp_path: Path) -> WallClock:
    """A clock without NTP."""
    clock = WallClock(tmp_path / "none")
    clock._adjtimex = lambda _timex: -1
    return clock


def test_the_platform_confirms_a_clock_that_ntp_does_not(alone: WallClock) -> None:
    assert alone.now().error_s is None
    ahead = datetime.now(UTC) + timedelta(days=3)
    alone.confirm(ahead)
    now = alone.now()
    assert abs((now.wall - ahead).total_seconds()) < 10
    assert now.error_s is not None
    assert 60 <= now.error_s < 61
    assert not now.in_sync
    own = alone.own()  # by which orders are judged
    assert abs((own.wall - datetime.now(UTC)).total_seconds()) < 10
    assert own.error_s is None


def test_a_clock_in_sync_is_not_corrected_by_the_platform(tmp_path: Path) -> None:
    touched = tmp_path / "synchronized"
    touched.touch()
    clock = WallClock(touched)
    clock._adjtimex = lambda _timex: -1
    clock.confirm(datetime.now(UTC) + timedelta(days=3))
    assert abs((clock.now().wall - datetime.now(UTC)).total_seconds()) < 10
    touched.unlink()  # NTP is lost: time goes on from the last synchronisation
    clock.confirm(datetime.now(UTC) + timedelta(days=3))
    now = clock.now()
    assert (now.in_sync, now.error_s is not None and now.error_s < 10) == (False, True)
    assert abs((now.wall - datetime.now(UTC)).total_seconds()) < 10


@pytest.mark.parametrize(
    ("same_boot", "error_ms", "known"), [(True, 900, True), (False, 900, False), (True, None, False)]
)
def test_a_run_continues_the_time_of_the_one_before_in_the_same_boot(
    alone: WallClock, same_boot: bool, error_ms: int | None, known: bool
) -> None:
    before = replace(alone.own(), wall=datetime.now(UTC) - timedelta(days=9))
    stored = clock_record(before if same_boot else replace(before, boot_id="another"))
    alone.resume(msgspec.structs.replace(stored, error_ms=error_ms))
    now = alone.now()
    assert (now.error_s is not None) is known
    if known:
        assert abs((now.wall - before.wall).total_seconds()) < 10


def test_the_error_grows_while_nothing_confirms_the_clock(alone: WallClock) -> None:
    begun = replace(alone.own(), monotonic_s=time.monotonic() - 86_400.0)
    alone.resume(msgspec.structs.replace(clock_record(begun), error_ms=900))
    error_s = alone.now().error_s
    assert error_s is not None
    assert 0.9 + 43 < error_s < 0.9 + 44  # 500 millionths of a day
