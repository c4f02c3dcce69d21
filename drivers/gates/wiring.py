"""What is wired to the relay board at the gate, and what a pulse may be."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.errors import BadSetting

BAUD = 9600
CHANNELS = 8
MAX_PULSE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Wiring:
    """What is wired where, from 1: the gate and the lamp to relays, the passage sensor to an input; 0 is nowhere."""

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
    """Raise BadSetting for a pulse that no board is asked for."""
    if not 0 < duration_ms <= MAX_PULSE_MS:
        raise BadSetting(f"a pulse of {duration_ms} ms is not possible; accepted: 1 to {MAX_PULSE_MS}")
