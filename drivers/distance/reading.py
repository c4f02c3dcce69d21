"""Readings of the distance sensors."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RangeState(StrEnum):
    """Result of a measurement."""

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


def measured(distance_mm: int, at_s: float) -> DistanceReading:
    """A reading with a measured distance."""
    return DistanceReading(distance_mm, RangeState.MEASURED, at_s)
