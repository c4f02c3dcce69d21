"""Wiring of the relay board at the gate, and the limits of a pulse."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.errors import BadSetting

BAUD = 9600
CHANNELS = 8
MAX_PULSE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Wiring:
    """Channel numbers from 1: relays of the gate and the lamp, input of the passage sensor; 0 is not wired."""

    gate: int = 1
    lamp: int = 0
    passage: int = 0

    def __post_init__(self) -> None:
        for name, number, least in (("channel", self.gate, 1), ("lamp", self.lamp, 0), ("input", self.passage, 0)):
            if not least <= number <= CHANNELS:
                raise BadSetting(f"{name} {number} does not exist; accepted: {least} to {CHANNELS}")
        if self.lamp == self.gate:
            raise BadSetting(f"gate and lamp cannot both be relay {self.gate}")


def check_duration(duration_ms: int) -> None:
    """Raise BadSetting for a pulse duration that is out of range."""
    if not 0 < duration_ms <= MAX_PULSE_MS:
        raise BadSetting(f"a pulse of {duration_ms} ms is out of range; accepted: 1 to {MAX_PULSE_MS}")
