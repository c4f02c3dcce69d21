"""The clock the ledger stamps its own records with when nobody gives it a better one."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from sync.contract.records import Clock

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def system_clock() -> Clock:
    """Now, by this machine; whether its wall clock is in sync is not known here, so it is said not to be."""
    return Clock(
        wall=datetime.now(UTC),
        boot_id=_BOOT_ID.read_text(encoding="ascii").strip(),
        monotonic_ms=time.monotonic_ns() // 1_000_000,
        in_sync=False,
    )
