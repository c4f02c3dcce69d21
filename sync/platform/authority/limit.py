"""A rate limit per name, in bounded memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable


class RateLimit:
    """Admits `burst` requests of one name at once, then one every `every_s` seconds.

    At most `most` names are stored; a new name replaces the least recently used one.
    """

    def __init__(
        self, burst: int, every_s: float, *, most: int = 10_000, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._ahead_s = (burst - 1) * every_s
        self._every_s = every_s
        self._most = most
        self._now = now
        self._due_s: OrderedDict[str, float] = OrderedDict()  # per name: when its last admitted request was due

    def wait_s(self, name: str) -> float:
        """0.0 if a request of `name` is admitted, which is then counted; else the seconds to wait."""
        now_s = self._now()
        due_s = max(self._due_s.get(name, now_s), now_s)
        wait_s = due_s - self._ahead_s - now_s
        if wait_s > 0:
            return wait_s
        self._due_s[name] = due_s + self._every_s
        self._due_s.move_to_end(name)
        if len(self._due_s) > self._most:
            self._due_s.popitem(last=False)
        return 0.0

    def __len__(self) -> int:
        return len(self._due_s)
