"""Damaged inputs for the parsers of every family: some thousands of each here, a million with `make fuzz`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INPUTS = os.environ.get("FUZZ_INPUTS", "4000")


@pytest.mark.timeout(600)
def test_damaged_inputs() -> None:
    # A separate process: its memory is that of the parsers, and coverage does not slow it down fivefold.
    command = [sys.executable, "-m", "bench.parsers", "--inputs", INPUTS]
    fuzz = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert fuzz.returncode == 0, fuzz.stdout + fuzz.stderr
