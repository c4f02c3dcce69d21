"""Number of fault cases: a sample in `make test`, all in `make faults`."""

from __future__ import annotations

import os

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))  # `make faults` says 100


def sampled(count: int, share: int = 16) -> range:
    """Every `share`th of `count` cases including the last; in `make faults` all."""
    return range(count - 1, -1, -share if ROUNDS == 1 else -1)
