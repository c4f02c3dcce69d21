"""The calibration of a thermometer against black bodies: computed, validated and saved with its predecessor.

Only an offset is fitted: over the few degrees that matter a wrong slope appears as a residual, and a sensor with a
large residual is rejected rather than corrected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path
from statistics import fmean, median, pstdev

import msgspec

from edge_agent.box.versioned_file import keep_value, kept_value
from edge_agent.calibration.errors import BadCalibration
from edge_agent.domain.passage import Moment

FILE_NAME = "thermometer-calibration.json"
LEAST_READINGS = 5
BLACK_BODY_C = (30.0, 45.0)
LEAST_APART_C = 2.0
MOST_SCATTER_C = 0.5
MOST_OFFSET_C = 5.0
MOST_RESIDUAL_C = 0.3  # the maximum permissible error of a forehead thermometer in China


class CalibrationPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Median and standard deviation of `readings` values at a black body of `reference_c`."""

    reference_c: float
    read_c: float
    scatter_c: float
    readings: int


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`offset_c` is added to every reading; `uncertainty_c` is the standard uncertainty after that.

    The uncertainty includes the black body's; `residual_c` is the largest error of a point after the correction.
    """

    driver: str
    serial: str
    by: str
    at: datetime
    expires_at: datetime
    ambient_c: float | None
    points: tuple[CalibrationPoint, ...]
    offset_c: float
    residual_c: float
    uncertainty_c: float


def check_references(references_c: Sequence[float]) -> None:
    """Raises BadCalibration if black bodies of these temperatures do not cover skin temperatures."""
    low, high = BLACK_BODY_C
    for reference_c in references_c:
        if not low <= reference_c <= high:
            raise BadCalibration(
                f"{reference_c:g} °C 的黑体与皮肤温度无关，请选 {low:g} 至 {high:g} °C。",
                f"A black body of {reference_c:g} °C is outside the range of skin: choose {low:g} to {high:g} °C.",
            )
    if len(references_c) < 2 or max(references_c) - min(references_c) < LEAST_APART_C:
        raise BadCalibration(
            f"需要两个相差至少 {LEAST_APART_C:g} °C 的黑体温度。",
            f"Two black-body temperatures at least {LEAST_APART_C:g} °C apart are needed.",
        )


def point_from(reference_c: float, read_c: Sequence[float]) -> CalibrationPoint:
    """The point from readings of one black body. Raises BadCalibration."""
    if len(read_c) < LEAST_READINGS:
        raise BadCalibration(
            f"{reference_c:g} °C 时只有 {len(read_c)} 个读数，需要 {LEAST_READINGS} 个。",
            f"{len(read_c)} readings at {reference_c:g} °C: {LEAST_READINGS} are needed.",
        )
    point = CalibrationPoint(reference_c, round(median(read_c), 3), round(pstdev(read_c), 3), len(read_c))
    if point.scatter_c > MOST_SCATTER_C:
        raise BadCalibration(
            f"{reference_c:g} °C 时读数波动 {point.scatter_c} °C：请等温度稳定，不要晃动。",
            f"Readings at {reference_c:g} °C scatter by {point.scatter_c} °C: wait until it settles, hold it still.",
        )
    return point


def calibration_from(
    points: tuple[CalibrationPoint, ...],
    reference_uncertainty_c: float,
    *,
    driver: str,
    serial: str,
    by: str,
    at: datetime,
    expires_at: datetime,
    ambient_c: float | None,
) -> Calibration:
    """The calibration from `points`. Raises BadCalibration."""
    check_references([point.reference_c for point in points])
    errors = [point.reference_c - point.read_c for point in points]
    offset_c = fmean(errors)
    residual_c = max(abs(error - offset_c) for error in errors)
    if abs(offset_c) > MOST_OFFSET_C:
        raise BadCalibration(
            f"传感器相差 {-offset_c:+.1f} °C：它对准的是黑体吗？",
            f"The sensor is {-offset_c:+.1f} °C off: did it view the black body?",
        )
    if residual_c > MOST_RESIDUAL_C:
        raise BadCalibration(
            f"修正后仍有一点相差 {residual_c:.2f} °C：这个传感器不能用偏移量校正。",
            f"{residual_c:.2f} °C of error remain at one point: an offset cannot correct this sensor.",
        )
    noise_c = max(point.scatter_c for point in points)
    return Calibration(
        driver=driver,
        serial=serial,
        by=by,
        at=at,
        expires_at=expires_at,
        ambient_c=ambient_c,
        points=points,
        offset_c=round(offset_c, 3),
        residual_c=round(residual_c, 3),
        uncertainty_c=round(math.hypot(residual_c, reference_uncertainty_c, noise_c), 3),
    )


def save_calibration(calibration: Calibration, data_dir: Path) -> Path:
    """Save it in `data_dir`; the previous one is kept beside it. Raises OSError."""
    return keep_value(data_dir / FILE_NAME, calibration)


def load_calibration(data_dir: Path) -> Calibration | None:
    """The calibration in `data_dir`, None if there is none. Raises SettingsError."""
    return kept_value(data_dir / FILE_NAME, Calibration, "calibrate again or remove it")


class CalibrationValidity(Enum):
    """Whether a calibration is valid by every time that it may be now."""

    VALID = "valid"
    EXPIRED = "expired"
    UNSURE = "unsure"  # the clock is not known well enough, or is before the calibration


def validity(calibration: Calibration, now: Moment) -> CalibrationValidity:
    """The validity of `calibration` at `now`, given the error of the clock."""
    earliest, latest = now.earliest, now.latest
    if earliest is None or latest is None or latest < calibration.at:
        return CalibrationValidity.UNSURE
    if earliest >= calibration.expires_at:
        return CalibrationValidity.EXPIRED
    return CalibrationValidity.VALID if latest < calibration.expires_at else CalibrationValidity.UNSURE
