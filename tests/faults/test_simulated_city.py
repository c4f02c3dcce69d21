"""Box, broker and platform with seeded faults; `FAULT_SEED=N` repeats one seed exactly."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.faults.scale import ROUNDS
from tests.faults.simulated_city import play

_IN_SHORT, _IN_LONG = 20, 2000
_CHOSEN = os.environ.get("FAULT_SEED")
SEEDS = [int(_CHOSEN)] if _CHOSEN else range(_IN_SHORT if ROUNDS == 1 else _IN_LONG)


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_arrives_once_and_in_order(seed: int) -> None:
    assert play(seed)[-1].endswith("repeats ignored")  # the last word, once everything was found in its place


def test_a_seed_is_reproducible_in_every_process() -> None:
    def story_of(hash_seed: int) -> str:
        command = [sys.executable, "-W", "ignore", "-m", "tests.faults.simulated_city", "7"]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": str(hash_seed)}
        ).stdout

    story = story_of(1)
    assert "is killed" in story
    assert story_of(2) == story
