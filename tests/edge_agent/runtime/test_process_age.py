"""The age of the agent is its own, whatever the date on the box becomes."""

import subprocess
import sys
import time

from edge_agent.runtime.process_age import age_s

TELLS = "import edge_agent.runtime.process_age as age; print(age.age_s())"


def test_a_young_process_is_young_and_grows_old_with_the_clock() -> None:
    begun_s = time.monotonic()
    told = subprocess.run([sys.executable, "-c", TELLS], capture_output=True, text=True, check=True, timeout=60)
    took_s = time.monotonic() - begun_s
    assert 0 < float(told.stdout) < took_s + 0.1  # of which a clock tick and the start of the process
    before_s, now_s = age_s(), time.monotonic()
    assert abs(age_s() - before_s - (time.monotonic() - now_s)) < 1
