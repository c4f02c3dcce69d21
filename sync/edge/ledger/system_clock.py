"""The default clock of a ledger for the records that it writes itself."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from sync.contract.records import Clock

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def system_clock() -> Clock:
    """The current time of this machine; `in_sync` is False because the state of synchronisation is unknown here."""
    return Clock(
        wall=datetime.now(UTC),
        boot_id=_BOOT_ID.read_text(encoding="ascii").strip(),
        monotonic_ms=time.monotonic_ns() // 1_000_000,
        in_sync=False,
    )
