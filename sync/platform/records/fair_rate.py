"""How fast the backlog of all boxes together may come."""

from __future__ import annotations

import asyncio
import time

_ACTIVE_S = 60.0  # a box that sent backlog within this time is counted as draining
_BURST_S = 0.2


class FairShareLimiter:
    """Shares `rows_per_s` among the boxes that drain now, and holds a reader to it."""

    def __init__(self, rows_per_s: float) -> None:
        self.rows_per_s = rows_per_s
        self._heard_s: dict[str, float] = {}
        self._due_s = 0.0

    def share_of(self, box: str, now_s: float) -> float:
        """What `box`, which sent backlog at `now_s`, may send from now on, in rows a second."""
        self._heard_s.pop(box, None)  # to the end: the one not heard for longest comes first
        self._heard_s[box] = now_s
        while now_s - self._heard_s[oldest := next(iter(self._heard_s))] > _ACTIVE_S:
            del self._heard_s[oldest]
        return self.rows_per_s / len(self._heard_s)

    async def spend(self, rows: int) -> None:
        """Wait as long as `rows` take at this pace."""
        now_s = time.monotonic()
        self._due_s = max(self._due_s, now_s - _BURST_S) + rows / self.rows_per_s
        await asyncio.sleep(max(0.0, self._due_s - now_s))
