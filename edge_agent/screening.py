"""From skin to a screening temperature: a stated linear fit with its uncertainty, or nothing.

Fitted on the whole-face maximum of the FDA "Facial and oral temperature data" (PhysioNet, doi 10.13026/3bhc-9065),
first round, against the oral reference: 533 people, 20-24 °C. "Skin plus a constant" under-reads fevers, because the
slope is far below 1; this does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edge_agent.domain import TemperatureReading

SLOPE = 0.7151
INTERCEPT_C = 11.442
FIT_UNCERTAINTY_C = 0.296  # RMSE of the fit, one standard deviation
FITTED_SKIN_C = (33.85, 38.52)
FITTED_AMBIENT_C = (20.0, 24.0)
METHOD = "face-maximum-linear/1"

_LEAST_SKIN_C = 30.0  # colder than any face in a room: a wall, a hand-held cup, nobody
_OUTSIDE_FACTOR = 2.0  # widening outside the fitted range, where nothing was measured


@dataclass(frozen=True, slots=True)
class SkinSample:
    """Maximum over one face in one thermal frame, in °C."""

    skin_c: float
    ambient_c: float
    taken_at_s: float


def face_maximum(
    pixels_c: NDArray[np.float32],
    face: tuple[float, float, float, float],
    covers: tuple[float, float, float, float],
) -> float | None:
    """Maximum over the pixels under `face`, or None where the array sees no skin there.

    `face` and `covers` (the part of the picture that the array sees) are (x, y, w, h) as fractions of the picture.
    """
    rows, cols = pixels_c.shape
    left = (face[0] - covers[0]) / covers[2] * cols
    top = (face[1] - covers[1]) / covers[3] * rows
    right = left + face[2] / covers[2] * cols
    bottom = top + face[3] / covers[3] * rows
    region = pixels_c[_span(top, bottom), _span(left, right)]
    if region.size == 0:
        return None
    warmest = float(region.max())
    return warmest if warmest >= _LEAST_SKIN_C else None


def screen(samples: list[SkinSample], offset_c: float, sensor_uncertainty_c: float) -> TemperatureReading:
    """The screening temperature from the samples of one arrival; without samples it is not measured.

    `offset_c` is this sensor's own correction against a blackbody, `sensor_uncertainty_c` what is left of its error.
    """
    if not samples:
        return TemperatureReading(None, None, None, None, 0, METHOD)
    skin_c = median(sample.skin_c for sample in samples)
    ambient_c = samples[-1].ambient_c
    corrected_c = skin_c + offset_c
    uncertainty_c = math.hypot(FIT_UNCERTAINTY_C, SLOPE * sensor_uncertainty_c)
    if not (_inside(corrected_c, FITTED_SKIN_C) and _inside(ambient_c, FITTED_AMBIENT_C)):
        uncertainty_c *= _OUTSIDE_FACTOR
    return TemperatureReading(
        estimate_c=round(INTERCEPT_C + SLOPE * corrected_c, 2),
        uncertainty_c=round(uncertainty_c, 2),
        skin_c=round(skin_c, 2),
        ambient_c=round(ambient_c, 2),
        samples=len(samples),
        method=METHOD,
    )


def _span(start: float, stop: float) -> slice:
    """The whole pixels between two edges; an edge outside the array is clipped, never counted from the end."""
    return slice(max(0, math.floor(start)), max(0, math.ceil(stop)))


def _inside(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]
