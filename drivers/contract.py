"""What every device gives to the agent: frozen readings, part health and the protocols of the parts.

Times named `taken_at_s` are `time.monotonic()` seconds at which the measurement was complete on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.latest import Latest


@dataclass(frozen=True, slots=True, eq=False)
class ThermalFrame:
    """One picture of a thermal array: `pixels_c` is (rows, cols) float32 in °C, row 0 on top, as the sensor sees it."""

    pixels_c: NDArray[np.float32]
    ambient_c: float
    taken_at_s: float


@dataclass(frozen=True, slots=True)
class SpotReading:
    """One reading of a spot thermometer, in °C."""

    object_c: float
    ambient_c: float
    taken_at_s: float


@dataclass(frozen=True, slots=True, eq=False)
class CameraFrame:
    """One picture: `image` is (height, width, 3) uint8 BGR; `sequence` counts frames since the camera was opened."""

    image: NDArray[np.uint8]
    taken_at_s: float
    sequence: int


@dataclass(frozen=True, slots=True)
class CodeRead:
    """Text of one scanned code. Untrusted, and about a person: never shown by `repr`."""

    text: str = field(repr=False)
    taken_at_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Sound to play: mono int16 samples at `rate_hz`; `name` says which prompt it is."""

    name: str
    samples: NDArray[np.int16]
    rate_hz: int


class PartState(StrEnum):
    """Life of one part."""

    STARTING = "starting"  # never gave anything since the agent started
    OK = "ok"  # gives readings
    LOST = "lost"  # gone or silent; being reopened
    BROKEN = "broken"  # present, but what it gives cannot be trusted (frozen, black, too even)


@dataclass(frozen=True, slots=True)
class PartHealth:
    """State of one part since `since_s` (monotonic); `detail` is a sentence for staff, free of personal data."""

    state: PartState
    since_s: float
    detail: str = ""


class Part(Protocol):
    """A device that lives as one task: `run` opens it, reads it and reopens it until cancelled."""

    @property
    def name(self) -> str: ...

    @property
    def health(self) -> PartHealth: ...

    @property
    def counters(self) -> dict[str, int]:
        """Counts since start, such as `frames`, `bad_checksum`, `resync_bytes`, `reopened`."""
        ...

    async def run(self) -> None: ...


class Thermometer(Part, Protocol):
    """Gives thermal frames or spot readings, newest wins."""

    @property
    def readings(self) -> Latest[ThermalFrame | SpotReading]: ...


class Camera(Part, Protocol):
    """Gives pictures, newest wins; a frozen or black picture is a broken part, not a frame."""

    @property
    def frames(self) -> Latest[CameraFrame]: ...

    def limit_rate(self, fps: float) -> None:
        """Hand on `fps` pictures a second at most, from the next one on; what is not handed on costs little."""
        ...


class CodeReader(Part, Protocol):
    """Gives scanned codes, newest wins; repeats within a few seconds are dropped."""

    @property
    def codes(self) -> Latest[CodeRead]: ...


class Speaker(Part, Protocol):
    """Plays one clip at a time."""

    async def play(self, clip: Clip) -> float:
        """Start `clip`, cutting short what plays; returns the monotonic second of its first sample."""
        ...

    async def drained(self) -> None:
        """Wait until nothing plays."""
        ...


class Gate(Part, Protocol):
    """Opens the gate for one pulse; it falls back by itself."""

    async def pulse(self, duration_ms: int) -> None:
        """Hold the gate open for `duration_ms`. Raises `drivers.errors.DeviceLost` when it cannot."""
        ...
