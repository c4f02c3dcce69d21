"""The age of the agent is its own, whatever the date on the box becomes."""

import os
import subprocess
import sys
import time

from edge_agent.runtime.process_age import age_s
from tests.limits import HANG_S

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
TELLS = "import edge_agent.runtime.process_age as age; print(age.age_s())"


def test_a_young_process_is_young_and_grows_old_with_the_clock() -> None:
    begun_s = time.monotonic()
    told = subprocess.run([sys.executable, "-c", TELLS], capture_output=True, text=True, check=True, timeout=HANG_S)
    took_s = time.monotonic() - begun_s
    assert 0 < float(told.stdout) < took_s + 0.1  # of which a clock tick and the start of the process
    outer_s, young_s, inner_s = time.monotonic(), age_s(), time.monotonic()
    time.sleep(3 * TICK_S)
    within_s, old_s, without_s = time.monotonic() - inner_s, age_s(), time.monotonic() - outer_s
    assert within_s - TICK_S <= old_s - young_s <= without_s + TICK_S
