"""What a distance sensor says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RangeState(StrEnum):
    """Why there is a distance, or none."""

    MEASURED = "measured"
    TOO_FAR = "too_far"
    TOO_NEAR = "too_near"
    NO_MEASURE = "no_measure"  # the sensor could not tell


@dataclass(frozen=True, slots=True)
class DistanceReading:
    """Distance to what is in front of the sensor; `distance_mm` is None unless it was measured."""

    distance_mm: int | None
    state: RangeState
    taken_at_s: float


def measured(distance_mm: int, at_s: float) -> DistanceReading:
    """A distance that was measured."""
    return DistanceReading(distance_mm, RangeState.MEASURED, at_s)
