"""Rate limit for the backlog of a box."""

from __future__ import annotations

import time


class RateLimiter:
    """Limits backlog records to the rate that the platform requests."""

    def __init__(self) -> None:
        self._per_s: float | None = None
        self._excess = 0.0  # records sent above the rate
        self._updated_s = 0.0  # monotonic

    def set(self, per_s: float | None) -> None:
        """Set the rate to `per_s` records a second (None: no limit); records sent before still count."""
        self._update()
        self._per_s = per_s

    @property
    def limited(self) -> bool:
        """Whether a rate is set."""
        return self._per_s is not None

    def spend(self, records: int) -> None:
        """Count sent records."""
        self._update()
        self._excess += records

    def wait_s(self) -> float:
        """Seconds until the next message may be sent."""
        self._update()
        return 0.0 if self._per_s is None else self._excess / self._per_s

    def _update(self) -> None:
        now_s = time.monotonic()
        allowed = (now_s - self._updated_s) * self._per_s if self._per_s is not None else self._excess
        self._excess, self._updated_s = max(0.0, self._excess - allowed), now_s
