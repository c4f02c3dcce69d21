"""Detects a second device under the name of this box (a cloned SD card), which the broker does not report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime

from sync.contract.envelope import Event
from sync.contract.messages import BoxState
from sync.edge.ledger.ledger import Ledger
from sync.errors import DuplicateDevice

_ALARM_INTERVAL_S = 24 * 3600.0
_CLONED = "another device uses the name of this box"


class CloneDetector:
    """Compares received birth messages of this box with its own, across all connections of this process.

    The alarm is raised at the first detection, and then at most once a day.
    """

    def __init__(self, ledger: Ledger, boot_id: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._boot_id = boot_id
        self._monotonic = monotonic
        self._alarm_s = -math.inf  # monotonic time of the last alarm
        self._previous_birth: datetime | None = None
        self._last_birth: datetime | None = None

    def birth_published(self, birth: datetime) -> None:
        """Store the time of our birth message, which the broker has accepted."""
        self._previous_birth, self._last_birth = self._last_birth, birth

    async def check(self, event: Event) -> None:
        """Check a received birth or will of this box: a birth of another process after our previous one is a clone.

        Raises DuplicateDevice, BadMessage, StoreFailed.
        """
        state = event.message(BoxState)
        newer = self._previous_birth is not None and event.time > self._previous_birth
        if not (state.online and state.boot_id != self._boot_id and newer):
            return
        if self._monotonic() - self._alarm_s >= _ALARM_INTERVAL_S:
            await self._ledger.alarm("cloned_box", "link", _CLONED)
            self._alarm_s = self._monotonic()
        raise DuplicateDevice(f"{_CLONED}: was its SD card copied?")
