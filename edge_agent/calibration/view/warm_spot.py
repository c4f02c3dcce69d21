"""Finds the warm object in the thermal frame, and rejects ambiguous frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.calibration.errors import BadCalibration
from edge_agent.measurement.camera_to_thermal import Point

LEAST_WARMER_C = 10.0  # a cup of hot water or a hand-warmer; the face of the installer is at most 10 °C warmer
EDGE_SHARE = 0.5  # pixels above half of the rise from room to warmest pixel belong to the object
MOST_SHARE = 0.15  # of all pixels: a larger object has no distinct centre
LEAST_READINGS = 4  # a second at the usual 4 Hz
MOST_MOVED = 1 / 32  # of the picture, between any reading and the median


@dataclass(frozen=True, slots=True)
class WarmSpot:
    """Centre of the warm object as fractions of the frame, and how much its warmest pixel exceeds the room in °C."""

    at: Point
    warmer_c: float


def warm_spot(pixels_c: NDArray[np.float32]) -> WarmSpot:
    """The warm object in `pixels_c` (rows, cols). Raises BadCalibration unless there is exactly one."""
    room_c = float(np.median(pixels_c))
    rise_c = pixels_c - room_c
    warmer_c = float(rise_c.max())
    if warmer_c < LEAST_WARMER_C:
        raise BadCalibration(
            f"热像中没有足够热的物体（高出 {warmer_c:.0f} °C，需 {LEAST_WARMER_C:.0f} °C）。",
            f"No object is warm enough (+{warmer_c:.0f} °C, {LEAST_WARMER_C:.0f} °C are needed).",
        )
    is_object = rise_c > EDGE_SHARE * warmer_c
    count, labels = cv2.connectedComponents(is_object.astype(np.uint8), connectivity=8)
    if count > 2:  # label 0 is the background
        raise BadCalibration(
            "热像中有几处热的地方，请只留一个，并让脸离开画面。",
            "Several objects are warm: leave one, and keep your face out of the picture.",
        )
    if is_object.mean() > MOST_SHARE:
        raise BadCalibration(
            "物体在热像中太大，请拿远一些或换小一点的。",
            "The object is too large: hold it farther away, or use a smaller one.",
        )
    if is_object[[0, -1]].any() or is_object[:, [0, -1]].any():
        raise BadCalibration(
            "物体在热像的边缘，请向中间移一点。",
            "The object is at the edge of the thermal picture: move it towards the middle.",
        )
    rows, cols = pixels_c.shape
    weights = np.where(labels == 1, rise_c, 0.0)
    weights /= weights.sum()
    x = float((weights.sum(axis=0) * (np.arange(cols) + 0.5)).sum()) / cols
    y = float((weights.sum(axis=1) * (np.arange(rows) + 0.5)).sum()) / rows
    return WarmSpot((x, y), round(warmer_c, 1))


def steady_spot(pictures_c: Sequence[NDArray[np.float32]]) -> WarmSpot:
    """The object in several frames, if it is held still. Raises BadCalibration."""
    if len(pictures_c) < LEAST_READINGS:
        raise BadCalibration(
            "热像读数太少，至少需要一秒。", "Too few thermal readings: one second of readings is needed."
        )
    spots = [warm_spot(pixels_c) for pixels_c in pictures_c]
    x, y = median(spot.at[0] for spot in spots), median(spot.at[1] for spot in spots)
    if any(max(abs(spot.at[0] - x), abs(spot.at[1] - y)) > MOST_MOVED for spot in spots):
        raise BadCalibration("物体在动，请拿稳。", "The object moves: hold it still.")
    return WarmSpot((x, y), median(spot.warmer_c for spot in spots))
