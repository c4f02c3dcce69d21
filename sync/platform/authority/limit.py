"""How often somebody may ask: a burst, then one at a time. One number a name, and a bounded number of names."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable


class RateLimit:
    """`burst` requests of one name at once, then one every `every_s` seconds.

    At most `most` names are remembered: the one that was heard longest ago is forgotten for a new one.
    """

    def __init__(
        self, burst: int, every_s: float, *, most: int = 10_000, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._ahead_s = (burst - 1) * every_s
        self._every_s = every_s
        self._most = most
        self._now = now
        self._due_s: OrderedDict[str, float] = OrderedDict()  # when all that a name asked for was due

    def wait_s(self, name: str) -> float:
        """Count one request of `name`: 0.0 when it may go on, else how long it has to wait, and it does not count."""
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


def whereabouts(address: str | None) -> str:
    """What counts as one remote address: of IPv6 the /64, for a single host has all of it to choose from."""
    if address is None:
        return ""
    read = ipaddress.ip_address(address.partition("%")[0])
    return address if read.version == 4 else str(ipaddress.ip_network((read, 64), strict=False))
