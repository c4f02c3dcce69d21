"""Whether a box is alone under its name: a copied card makes two of it, and the broker says nothing of that."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime

from sync.contract.envelope import Event
from sync.contract.messages import BoxState
from sync.edge.ledger.ledger import Ledger
from sync.errors import DuplicateDevice

_ALARM_EVERY_S = 24 * 3600.0
_SAID = "another device speaks under this box's name"


class CloneDetector:
    """Compares the births said under our name with our own, over all connections of this process.

    The alarm is raised when another is first heard, and again each day for as long as it is there.
    """

    def __init__(self, ledger: Ledger, boot_id: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._boot_id = boot_id
        self._monotonic = monotonic
        self._told_s = -math.inf
        self._born_before: datetime | None = None  # when the broker took the birth before the last one
        self._born: datetime | None = None

    def was_said(self, birth: datetime) -> None:
        """The broker took our birth."""
        self._born_before, self._born = self._born, birth

    async def heard(self, event: Event) -> None:
        """A birth or farewell under our name: ours, or from before our last connection, else there are two of us.

        Raises DuplicateDevice; BadMessage, StoreFailed.
        """
        state = event.message(BoxState)
        newer = self._born_before is not None and event.time > self._born_before
        if not (state.online and state.boot_id != self._boot_id and newer):
            return
        if self._monotonic() - self._told_s >= _ALARM_EVERY_S:
            await self._ledger.alarm("cloned_box", "link", _SAID)
            self._told_s = self._monotonic()
        raise DuplicateDevice(f"{_SAID}: is its card a copy?")
