"""Health and counters of one part, shared by every driver."""

from __future__ import annotations

import logging
import time
from collections import Counter

from drivers.contract import PartFault, PartHealth, PartState
from sync.redaction import redact

log = logging.getLogger(__name__)


class DeviceHealth:
    """State of the part `name`. Logs one line when the part leaves OK and one when it returns, none per retry."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.counters: Counter[str] = Counter(opened=0)
        self._health = PartHealth(PartState.STARTING, time.monotonic())

    @property
    def health(self) -> PartHealth:
        """Current state and its start."""
        return self._health

    def ok(self, detail: str = "") -> None:
        """Record that the part delivers valid data."""
        before = self._health.state
        if self._move(PartState.OK, detail) and before is not PartState.STARTING:
            log.warning("%s is back", self.name)

    def lost(self, detail: str) -> None:
        """Record that the part is disconnected or silent."""
        if self._move(PartState.LOST, detail):
            log.error("%s is lost: %s", self.name, self._health.detail)

    def broken(self, detail: str, fault: PartFault | None = None) -> None:
        """Record that the part is connected but its data cannot be trusted."""
        if self._move(PartState.BROKEN, detail, fault):
            log.error("%s is broken: %s", self.name, self._health.detail)

    def _move(self, state: PartState, detail: str, fault: PartFault | None = None) -> bool:
        """Set the state; returns whether it changed. `since_s` changes only with the state, not with `detail`."""
        detail = redact(detail)  # shown, logged and sent to the platform
        before = self._health
        if (state, detail, fault) == (before.state, before.detail, before.fault):
            return False
        moved = state is not before.state
        self._health = PartHealth(state, time.monotonic() if moved else before.since_s, detail, fault)
        return moved


class MonitoredDevice:
    """Base of the drivers: name, health and counters of a `Part`, taken from its DeviceHealth."""

    def __init__(self, device_health: DeviceHealth) -> None:
        self.device_health = device_health

    @property
    def name(self) -> str:
        """Name of the part."""
        return self.device_health.name

    @property
    def health(self) -> PartHealth:
        """Current state and its start."""
        return self.device_health.health

    @property
    def counters(self) -> dict[str, int]:
        """Counts since start."""
        return dict(self.device_health.counters)
