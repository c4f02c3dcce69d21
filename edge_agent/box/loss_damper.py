"""Which losses of one device are alarms: a device that comes and goes raises one, with a count when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WATCH_S = 3600.0  # a device that is lost again within this time after its return is unstable
HOLD_S = 60.0  # an unstable device is back when it was usable for this long; doubles while it stays unstable


@dataclass(frozen=True, slots=True)
class LossEvent:
    """An alarm to raise."""

    kind: Literal["part_lost", "part_unstable", "part_back"]
    detail: str = ""


class LossDamper:
    """Follows one device, which was usable at first. All times are monotonic, in seconds.

    The first loss and its return are alarms at once. A further loss within WATCH_S is one alarm, `part_unstable`; the
    losses after it are only counted, until the device was usable for the hold time: then one `part_back` with the
    count. The hold time doubles with each such period, up to WATCH_S, so that a slow alternation is damped too. The
    count begins again after WATCH_S without a loss.
    """

    def __init__(self) -> None:
        self.losses = 0  # since `_since_s`
        self._is_lost = False
        self._unstable = False
        self._hold_s = HOLD_S
        self._since_s = 0.0  # the first loss that counts
        self._usable_s = -WATCH_S  # since when it is usable
        self._ended_s = -WATCH_S  # end of the last period

    @property
    def is_unstable(self) -> bool:
        """Whether losses are only counted now."""
        return self._unstable

    def update(self, *, is_lost: bool, detail: str, now_s: float) -> LossEvent | None:
        """Note the present state, of which `detail` is the reason; returns the alarm to raise."""
        if is_lost and not self._is_lost:
            self._is_lost = True
            return self._lost(detail, now_s)
        if not is_lost and self._is_lost:
            self._is_lost, self._usable_s = False, now_s
            if not self._unstable:
                self._ended_s = now_s
                return LossEvent("part_back")
        if self._unstable and not self._is_lost and now_s - self._usable_s >= self._hold_s:
            return self._steady(now_s)
        return None

    def _lost(self, detail: str, now_s: float) -> LossEvent | None:
        if self._unstable:
            self.losses += 1
            return None
        if now_s - self._ended_s >= WATCH_S:
            self.losses, self._since_s, self._hold_s = 1, now_s, HOLD_S
            return LossEvent("part_lost", detail)
        self.losses += 1
        self._unstable = True
        return LossEvent(
            "part_unstable",
            f"不稳定，{now_s - self._since_s:.0f} 秒内失联 {self.losses} 次，此后只计数。 Lost {self.losses} times in"
            f" {now_s - self._since_s:.0f} s; further losses are only counted: {detail}",
        )

    def _steady(self, now_s: float) -> LossEvent:
        lasted_s, held_s = self._usable_s - self._since_s, self._hold_s
        self._unstable, self._ended_s, self._hold_s = False, now_s, min(2 * held_s, WATCH_S)
        return LossEvent(
            "part_back",
            f"{lasted_s:.0f} 秒内失联 {self.losses} 次，现已稳定 {held_s:.0f} 秒。 Lost {self.losses} times in"
            f" {lasted_s:.0f} s; stable for {held_s:.0f} s",
        )
