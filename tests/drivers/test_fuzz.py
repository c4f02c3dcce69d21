"""A hundred thousand damaged inputs for the parser of every family; `make fuzz` feeds a million."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.drivers.families import FAMILIES

ROOT = Path(__file__).parents[2]
INPUTS = 100_000


@pytest.mark.timeout(600)  # some 5 s of one core per family
@pytest.mark.parametrize("driver", [family.driver for family in FAMILIES])
def test_damaged_inputs(driver: str) -> None:
    # A separate process: its memory is that of the parser, and coverage does not slow it down fivefold.
    command = [sys.executable, "-m", "bench.parsers", "--inputs", str(INPUTS), "--family", driver]
    fuzz = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert fuzz.returncode == 0, fuzz.stdout + fuzz.stderr
