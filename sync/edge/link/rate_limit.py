"""How fast a box may send its backlog."""

from __future__ import annotations

import time


class RateLimiter:
    """When the next message of backlog may go, at the pace the platform asks for."""

    def __init__(self) -> None:
        self._per_s: float | None = None
        self._ahead = 0.0  # records sent before their time
        self._settled_s = 0.0

    def set(self, per_s: float | None) -> None:
        """Go at `per_s` records a second from now on; None is without limit. What was sent counts on."""
        self._settle()
        self._per_s = per_s

    @property
    def limited(self) -> bool:
        """Whether there is a pace."""
        return self._per_s is not None

    def spend(self, records: int) -> None:
        """Note that so many were sent."""
        self._settle()
        self._ahead += records

    def wait_s(self) -> float:
        """Seconds until more may go."""
        self._settle()
        return 0.0 if self._per_s is None else self._ahead / self._per_s

    def _settle(self) -> None:
        now_s = time.monotonic()
        due = (now_s - self._settled_s) * self._per_s if self._per_s is not None else self._ahead
        self._ahead, self._settled_s = max(0.0, self._ahead - due), now_s
