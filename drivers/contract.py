"""Contract between the device drivers and the agent: frozen readings, part health and one protocol per kind of part.

Times named `taken_at_s` are `time.monotonic()` seconds at which the measurement was complete on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.latest import Latest


class PixelFault(StrEnum):
    """Why a pixel of a thermal array is left out, the gravest last."""

    OUTLIER = "outlier"  # always far from all its neighbours
    STUCK = "stuck"  # does not change while the others do
    OUT_OF_RANGE = "out of range"


@dataclass(frozen=True, slots=True)
class DeadPixel:
    """A pixel that is left out; rows and columns count from 0 at the upper left of the frame."""

    row: int
    col: int
    fault: PixelFault


@dataclass(frozen=True, slots=True, eq=False)
class ThermalFrame:
    """One frame of a thermal array: `pixels_c` is (rows, cols) float32 in °C, row 0 on top, as the sensor sees it.

    The values of the pixels in `left_out` are replaced by those around them.
    """

    pixels_c: NDArray[np.float32]
    ambient_c: float
    taken_at_s: float
    left_out: tuple[DeadPixel, ...] = ()


@dataclass(frozen=True, slots=True)
class SpotReading:
    """One reading of a spot thermometer, in °C; `ambient_c` is None where the sensor does not report it."""

    object_c: float
    ambient_c: float | None
    taken_at_s: float


class RangeState(StrEnum):
    """Result of a distance measurement."""

    MEASURED = "measured"
    TOO_FAR = "too_far"
    TOO_NEAR = "too_near"
    NO_MEASURE = "no_measure"  # the sensor reports no measurement


@dataclass(frozen=True, slots=True)
class DistanceReading:
    """Distance to the object in front of the sensor; `distance_mm` is None unless `state` is MEASURED."""

    distance_mm: int | None
    state: RangeState
    taken_at_s: float

    @classmethod
    def measured(cls, distance_mm: int, at_s: float) -> DistanceReading:
        """A reading with a measured distance."""
        return cls(distance_mm, RangeState.MEASURED, at_s)

    @property
    def distance_m(self) -> float | None:
        """The distance in metres, None unless it was measured."""
        return None if self.distance_mm is None else self.distance_mm / 1000


@dataclass(frozen=True, slots=True, eq=False)
class CameraFrame:
    """One picture: `image` is (height, width, 3) uint8 BGR; `sequence` counts frames since the camera was opened."""

    image: NDArray[np.uint8]
    taken_at_s: float
    sequence: int


@dataclass(frozen=True, slots=True)
class CodeRead:
    """Text of one scanned code. Untrusted personal data: `repr` does not show it."""

    text: str = field(repr=False)
    taken_at_s: float


@dataclass(frozen=True, slots=True)
class CodeUnreadable:
    """Something was scanned that cannot be a code: not text, or too long."""

    taken_at_s: float


class CardKind(StrEnum):
    """Kind of identity document."""

    CITIZEN = "citizen"
    PERMIT = "permit"  # residence permit of people from Hong Kong, Macau and Taiwan
    FOREIGNER = "foreigner"  # permanent residence


@dataclass(frozen=True, slots=True, repr=False)
class CardRead:
    """The checked fields of an identity card, without its photo. Personal data: `repr` shows only the kind.

    `nation` is the two-digit code of the ethnic group, `nationality` the three letters of the country; "" where the
    kind has none. `valid_until` is None for a card without expiry. `number` is valid and in upper case.
    """

    kind: CardKind
    name: str
    sex: str  # male, female, unknown
    nation: str
    birth: date
    address: str
    number: str
    authority: str
    valid_from: date
    valid_until: date | None
    taken_at_s: float
    english_name: str = ""
    nationality: str = ""
    pass_number: str = ""

    def __repr__(self) -> str:
        return f"CardRead({self.kind.value}, taken_at_s={self.taken_at_s})"


@dataclass(frozen=True, slots=True)
class CardUnreadable:
    """A card was presented but could not be read, or its content is not valid."""

    taken_at_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Sound to play: mono int16 samples at `rate_hz`; `name` identifies the prompt."""

    name: str
    samples: NDArray[np.int16]
    rate_hz: int


class PartState(StrEnum):
    """State of one part."""

    STARTING = "starting"  # no reading since the agent started
    OK = "ok"  # delivers readings
    LOST = "lost"  # disconnected or silent; being reopened
    BROKEN = "broken"  # connected, but its data cannot be trusted (frozen, black, constant)


class PartFault(StrEnum):
    """What is wrong with a broken part, where a remedy depends on it."""

    DAMAGED_PICTURES = "damaged_pictures"  # of a camera: often its cable, power supply or network
    NOT_UPRIGHT = "not_upright"  # a camera that is mounted otherwise than its settings say


@dataclass(frozen=True, slots=True)
class PartHealth:
    """State of one part since `since_s` (monotonic); `detail` is a sentence for staff without personal data."""

    state: PartState
    since_s: float
    detail: str = ""
    fault: PartFault | None = None


class Part(Protocol):
    """A device driven by one task: `run` opens, reads and reopens it until cancelled."""

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
    """Delivers thermal frames or spot readings; only the newest is stored."""

    @property
    def readings(self) -> Latest[ThermalFrame | SpotReading]: ...


class Ranger(Part, Protocol):
    """Delivers distances to the object in front of the box; only the newest is stored."""

    @property
    def readings(self) -> Latest[DistanceReading]: ...


class Camera(Part, Protocol):
    """Delivers upright pictures; only the newest is stored. A frozen, black or damaged one is dropped."""

    @property
    def frames(self) -> Latest[CameraFrame]: ...

    def limit_rate(self, fps: float) -> None:
        """Deliver at most `fps` pictures a second, from the next one on. A skipped picture is not decoded."""
        ...

    def reject(self, reason: str, fault: PartFault | None = None) -> None:
        """Set the state to BROKEN with `reason` from the next picture on, and still deliver; "": accept again."""
        ...


class CodeReader(Part, Protocol):
    """Delivers scanned codes; only the newest is stored. Repeats within a few seconds are dropped."""

    @property
    def codes(self) -> Latest[CodeRead | CodeUnreadable]: ...


class CardReader(Part, Protocol):
    """Delivers identity cards; only the newest is stored. A card left on the reader is delivered once."""

    @property
    def cards(self) -> Latest[CardRead | CardUnreadable]: ...


class Speaker(Part, Protocol):
    """Plays one prompt at a time; one broadcast continues below it at a lower level."""

    @property
    def volume(self) -> float:
        """Share of the full amplitude, 0 to 1."""
        ...

    def set_volume(self, share: float) -> None:
        """Set the volume to `share` (0 to 1) of the full amplitude."""
        ...

    async def play(self, clip: Clip) -> float:
        """Start the prompt `clip`, stopping the current prompt; returns its start in monotonic seconds."""
        ...

    async def broadcast(self, clip: Clip) -> float:
        """Start the broadcast `clip`, replacing the current one; returns its start in monotonic seconds."""
        ...

    async def drained(self) -> None:
        """Wait until nothing plays."""
        ...


class Gate(Part, Protocol):
    """Opens the gate for one pulse, after which it closes by itself. Lamp and passage sensor are optional."""

    async def pulse(self, duration_ms: int) -> None:
        """Hold the gate open for `duration_ms`. Raises `drivers.errors.DeviceLost` on failure."""
        ...

    async def light(self, *, on: bool) -> None:
        """Switch the staff-call lamp; no effect where none is wired. Raises DeviceLost, DeviceRefused."""
        ...

    async def passed(self, limit_s: float) -> bool:
        """Whether a person passed since the last pulse; waits at most `limit_s`.

        Returns False immediately where no sensor is wired.
        """
        ...
