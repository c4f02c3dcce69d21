"""Where the kernel may not be asked, the file that systemd-timesyncd touches tells whether the clock is in sync."""

import os
import time
from pathlib import Path

import pytest

from edge_agent.box.wall_clock import WallClock


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
