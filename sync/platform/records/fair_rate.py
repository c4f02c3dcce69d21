"""Rate limit for the backlog of all boxes together."""

from __future__ import annotations

import asyncio
import time

_ACTIVE_S = 60.0  # a box that sent backlog within this time counts as active
_BURST_S = 0.2


class FairShareLimiter:
    """Divides `rows_per_s` among the active boxes, and limits a reader to it."""

    def __init__(self, rows_per_s: float) -> None:
        self.rows_per_s = rows_per_s
        self._last_sent_s: dict[str, float] = {}
        self._due_s = 0.0

    def share_for(self, box: str, now_s: float) -> float:
        """The share of `box`, which sent backlog at `now_s`, in rows per second."""
        self._last_sent_s.pop(box, None)  # moves it to the end: the dict is ordered by time
        self._last_sent_s[box] = now_s
        while now_s - self._last_sent_s[oldest := next(iter(self._last_sent_s))] > _ACTIVE_S:
            del self._last_sent_s[oldest]
        return self.rows_per_s / len(self._last_sent_s)

    async def throttle(self, rows: int) -> None:
        """Wait as long as `rows` take at this rate."""
        now_s = time.monotonic()
        self._due_s = max(self._due_s, now_s - _BURST_S) + rows / self.rows_per_s
        await asyncio.sleep(max(0.0, self._due_s - now_s))
