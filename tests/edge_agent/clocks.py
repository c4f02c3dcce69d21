"""Clocks whose state a test sets."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from edge_agent.box.wall_clock import WallClock
from edge_agent.domain.passage import Moment


class ClockInSync(WallClock):
    """This machine's clock as NTP would keep it, unless a test says otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.in_sync = True
        self.error_s: float | None = 0.05
        self.wall: datetime | None = None  # another time than this machine's

    def now(self) -> Moment:
        now = super().now()
        return replace(now, wall=self.wall or now.wall, in_sync=self.in_sync, error_s=self.error_s)


def moment(wall: datetime, *, in_sync: bool = True, error_s: float | None = 0.05) -> Moment:
    """An instant at `wall` by a clock of that quality."""
    return Moment(wall, 1000.0, "boot", in_sync, error_s)
