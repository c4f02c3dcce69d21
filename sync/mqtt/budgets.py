"""Budgets of each box: messages and bytes that the platform reads from it, so that one box cannot crowd out others.

What exceeds a budget is not read and not acknowledged. A box keeps a record until it is acknowledged and sends it
again, so a budget delays the records of the box that exceeds it, and loses none.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from sync.contract.topics import Channel

log = logging.getLogger(__name__)

_BOXES = 10_000  # of which budgets are kept; the least recently heard ones are forgotten
_EPOCHS_KEPT = 64
_REPORT_S = 60.0  # between two log lines about one box


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_s` in the long run, `burst` at once."""

    per_s: float
    burst: float


@dataclass(frozen=True, slots=True)
class Budget:
    """What one box may send on one channel."""

    messages: Rate
    bytes: Rate


# Several times what a box sends that works: a passage every three seconds, a health report every ten.
BUDGETS = {
    Channel.STATE: Budget(Rate(1, 20), Rate(16_000, 320_000)),
    Channel.ALARM: Budget(Rate(50, 500), Rate(200_000, 2_000_000)),
    Channel.PASSAGE: Budget(Rate(100, 1000), Rate(400_000, 4_000_000)),
    Channel.HEALTH: Budget(Rate(1, 20), Rate(16_000, 320_000)),
    Channel.QUERY: Budget(Rate(20, 60), Rate(40_000, 120_000)),
    Channel.DIRECTORY: Budget(Rate(1, 20), Rate(2_000, 40_000)),
}
_NEW_EPOCHS = Rate(1 / 60, 32)
_LOG_LINES = Rate(1 / 10, 10)


class Buckets:
    """A token bucket for each box."""

    def __init__(self) -> None:
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when; the newest last

    def take(self, box: str, amount: float, rate: Rate, now_s: float) -> bool:
        """Take `amount` of the tokens of `box`, if there are so many."""
        level, since_s = self._levels.pop(box, (rate.burst, now_s))
        level = min(rate.burst, level + (now_s - since_s) * rate.per_s)
        allowed = level >= amount
        self._levels[box] = (level - amount if allowed else level, now_s)
        if len(self._levels) > _BOXES:
            self._levels.popitem(last=False)
        return allowed


class BoxBudgets:
    """The budgets of all boxes for the channels of one connection."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._messages: dict[Channel, Buckets] = {}
        self._bytes: dict[Channel, Buckets] = {}
        self._epochs = Buckets()
        self._known_epochs: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        self._log_lines = Buckets()
        self._exceeded: OrderedDict[str, int] = OrderedDict()  # messages that were not read, by box
        self._reported = Buckets()

    def allows(self, channel: Channel, box: str, size_bytes: int, budget: Budget | None = None) -> bool:
        """Whether a message of `box` is within its budget (None: that of the table), and counts it."""
        budget, now_s = budget or BUDGETS[channel], self._clock()
        messages = self._messages.setdefault(channel, Buckets())
        sizes = self._bytes.setdefault(channel, Buckets())
        # A message above the whole burst is counted as the burst: its channel limits its size.
        amount = min(size_bytes, budget.bytes.burst)
        if messages.take(box, 1, budget.messages, now_s) and sizes.take(box, amount, budget.bytes, now_s):
            return True
        self._report(box, channel, now_s)
        return False

    def allows_epoch(self, box: str, epoch: str) -> bool:
        """Whether `box` may write to `epoch`: one of its last 64, or a new one, of which it may begin one a minute."""
        known = self._known_epochs.setdefault(box, OrderedDict())
        self._known_epochs.move_to_end(box)
        if epoch not in known and not self._epochs.take(box, 1, _NEW_EPOCHS, self._clock()):
            return False
        known[epoch] = None
        known.move_to_end(epoch)
        if len(known) > _EPOCHS_KEPT:
            known.popitem(last=False)
        if len(self._known_epochs) > _BOXES:
            self._known_epochs.popitem(last=False)
        return True

    def may_log(self, box: str) -> bool:
        """Whether a log line about a message of `box` is within its budget."""
        return self._log_lines.take(box, 1, _LOG_LINES, self._clock())

    def _report(self, box: str, channel: Channel, now_s: float) -> None:
        self._exceeded[box] = self._exceeded.get(box, 0) + 1
        self._exceeded.move_to_end(box)
        if len(self._exceeded) > _BOXES:
            self._exceeded.popitem(last=False)
        if self._reported.take(box, 1, Rate(1 / _REPORT_S, 1), now_s):
            count = self._exceeded.pop(box)
            log.warning(
                "%s sends more than its budget on %s: %d messages were not read; if it goes on, examine or revoke it",
                box,
                channel,
                count,
            )
