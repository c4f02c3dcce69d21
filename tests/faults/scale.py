"""How hard the faults are tried: a sample in `make test`, the whole in `make faults`."""

from __future__ import annotations

import os

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))  # `make faults` says 100


def sampled(count: int, share: int = 16) -> range:
    """Every `share`th of `count` cases, the last among them; in the long form all."""
    return range(count - 1, -1, -share if ROUNDS == 1 else -1)
