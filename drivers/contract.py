"""What every device gives to the agent: frozen readings, part health and the protocols of the parts.

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


@dataclass(frozen=True, slots=True, eq=False)
class ThermalFrame:
    """One picture of a thermal array: `pixels_c` is (rows, cols) float32 in °C, row 0 on top, as the sensor sees it."""

    pixels_c: NDArray[np.float32]
    ambient_c: float
    taken_at_s: float


@dataclass(frozen=True, slots=True)
class SpotReading:
    """One reading of a spot thermometer, in °C; `ambient_c` None where the sensor does not tell."""

    object_c: float
    ambient_c: float | None
    taken_at_s: float


class RangeState(StrEnum):
    """Why there is a distance, or none."""

    MEASURED = "measured"
    TOO_FAR = "too_far"
    TOO_NEAR = "too_near"
    NO_MEASURE = "no_measure"  # the sensor could not measure


@dataclass(frozen=True, slots=True)
class DistanceReading:
    """Distance to what is in front of the sensor; `distance_mm` is None unless it was measured."""

    distance_mm: int | None
    state: RangeState
    taken_at_s: float

    @classmethod
    def measured(cls, distance_mm: int, at_s: float) -> DistanceReading:
        """A distance that was measured."""
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
    """Text of one scanned code. Untrusted, and about a person: never shown by `repr`."""

    text: str = field(repr=False)
    taken_at_s: float


class CardKind(StrEnum):
    """Which document a card is."""

    CITIZEN = "citizen"
    PERMIT = "permit"  # residence permit of people from Hong Kong, Macau and Taiwan
    FOREIGNER = "foreigner"  # permanent residence


@dataclass(frozen=True, slots=True, repr=False)
class CardRead:
    """What an identity card says, checked; about a person: `repr` shows none of it, and no photo is ever in it.

    `nation` is the two-digit code of the ethnic group, `nationality` the three letters of the country; "" where the
    kind has none. `valid_until` None means without end. The number is a valid one and in upper case.
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
    """A card was held up, but what it says cannot be right."""

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


class Ranger(Part, Protocol):
    """Gives the distance to what is in front of the box, newest wins."""

    @property
    def readings(self) -> Latest[DistanceReading]: ...


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


class CardReader(Part, Protocol):
    """Gives identity cards, newest wins; one that is left lying is given once."""

    @property
    def cards(self) -> Latest[CardRead | CardUnreadable]: ...


class Speaker(Part, Protocol):
    """Plays one prompt at a time, and one broadcast that goes on more quietly below it."""

    @property
    def volume(self) -> float:
        """Share of the full amplitude, 0 to 1."""
        ...

    def set_volume(self, share: float) -> None:
        """Play at `share` of the full amplitude from now on."""
        ...

    async def play(self, clip: Clip) -> float:
        """Start the prompt `clip`, cutting short the prompt that plays; returns the monotonic second it began."""
        ...

    async def broadcast(self, clip: Clip) -> float:
        """Start `clip` for everybody, in the place of another broadcast; returns the monotonic second it began."""
        ...

    async def drained(self) -> None:
        """Wait until nothing plays."""
        ...


class Gate(Part, Protocol):
    """Opens the gate for one pulse; it falls back by itself. Lamp and passage sensor are there where they are wired."""

    async def pulse(self, duration_ms: int) -> None:
        """Hold the gate open for `duration_ms`. Raises `drivers.errors.DeviceLost` when it cannot."""
        ...

    async def light(self, *, on: bool) -> None:
        """Switch the lamp that calls staff; does nothing where none is wired. Raises DeviceLost, DeviceRefused."""
        ...

    async def passed(self, limit_s: float) -> bool:
        """Whether somebody walked through since the last pulse, for which it waits `limit_s` at most.

        Without a sensor nobody knows: False at once.
        """
        ...
