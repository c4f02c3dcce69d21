"""The screening temperature of one arrival: combines skin samples, corrects them for this sensor, and estimates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from config.settings import ThermometerSettings
from edge_agent.domain.passage import TemperatureReading
from edge_agent.measurement.core_temperature import REGIONS, CoreEstimate, estimate_core, shipped

AMBIENT_UNKNOWN = "ambient_unknown"
_ROOM_C = 23.0  # an ordinary room: for an estimate to record where the sensor reports no ambient temperature


@dataclass(frozen=True, slots=True)
class SkinSample:
    """One reading of one face in °C: the skin of each visible region, the sensor's ambient, and the distance."""

    skin_c: Mapping[str, float]
    ambient_c: float | None
    taken_at_s: float
    distance_m: float | None = None


@dataclass(frozen=True, slots=True)
class SkinSensor:
    """What is known of this thermometer.

    `offset_c` is its correction from a black body, `uncertainty_c` its remaining error (one standard uncertainty);
    `ambient_offset_c` is added to its ambient temperature to give that of the room.
    """

    offset_c: float = 0.0
    uncertainty_c: float = 0.0
    ambient_offset_c: float = 0.0

    @classmethod
    def from_settings(cls, thermometer: ThermometerSettings) -> SkinSensor:
        """What the settings say of it."""
        return cls(thermometer.offset_c, thermometer.sensor_uncertainty_c, thermometer.ambient_offset_c)


def screen(samples: Sequence[SkinSample], sensor: SkinSensor) -> TemperatureReading:
    """The screening temperature from the samples of one arrival; without samples it is not measured."""
    if not samples:
        return TemperatureReading(None, None, None, None, 0, shipped().name)
    raw_c = joined(samples)
    ambient_c = _median_of_known(sample.ambient_c for sample in samples)
    distance_m = _median_of_known(sample.distance_m for sample in samples)
    room_c = _ROOM_C if ambient_c is None else ambient_c + sensor.ambient_offset_c

    skin_c = {name: value + sensor.offset_c for name, value in raw_c.items()}

    def estimated(error_c: float) -> CoreEstimate:
        shifted_c = {name: value + error_c for name, value in skin_c.items()}
        return estimate_core(shifted_c, room_c, distance_m=distance_m)

    estimate = estimated(0.0)
    by_sensor_c = (estimated(sensor.uncertainty_c).core_c - estimated(-sensor.uncertainty_c).core_c) / 2
    return TemperatureReading(
        estimate_c=round(estimate.core_c, 2),
        uncertainty_c=round(math.hypot(estimate.uncertainty_c, by_sensor_c), 2),
        skin_c=round(raw_c[shipped().leading(skin_c)], 2),
        ambient_c=None if ambient_c is None else round(ambient_c, 2),
        samples=len(samples),
        method=estimate.model,
        regions={name: round(value, 2) for name, value in raw_c.items()},
        correction_c=sensor.offset_c,
        distance_m=distance_m,
        fever_probability=round(estimate.fever_probability, 3),
        outside=estimate.outside if ambient_c is not None else (*estimate.outside, AMBIENT_UNKNOWN),
    )


def joined(samples: Sequence[SkinSample]) -> dict[str, float]:
    """The median of each region over the samples in which it was seen, so that one bad frame has no effect."""
    seen = {name: [sample.skin_c[name] for sample in samples if name in sample.skin_c] for name in REGIONS}
    return {name: median(values) for name, values in seen.items() if values}


def _median_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
