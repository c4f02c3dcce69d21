"""The warm object in the thermal picture: found by itself, refused where it could be something else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.calibration.errors import BadCalibration
from edge_agent.measurement.camera_to_thermal import Point

LEAST_WARMER_C = 10.0  # a cup of hot water or a hand-warmer; the installer's own face is 10 °C warmer at most
EDGE_SHARE = 0.5  # what is warmer than half way from the room to the warmest pixel is the object
MOST_SHARE = 0.15  # of all pixels: a larger thing has no point to touch
LEAST_READINGS = 4  # a second at the usual 4 Hz
MOST_MOVED = 1 / 32  # of the picture, between any reading and the middle of all


@dataclass(frozen=True, slots=True)
class WarmSpot:
    """Where the warm object is, as fractions of the thermal picture, and how far above the room its warmest pixel."""

    at: Point
    warmer_c: float


def warm_spot(pixels_c: NDArray[np.float32]) -> WarmSpot:
    """The one warm object in (rows, cols) °C. Raises BadCalibration."""
    room_c = float(np.median(pixels_c))
    rise_c = pixels_c - room_c
    warmer_c = float(rise_c.max())
    if warmer_c < LEAST_WARMER_C:
        raise BadCalibration(
            f"热像中没有足够热的物体（高出 {warmer_c:.0f} °C，需 {LEAST_WARMER_C:.0f} °C）。",
            f"Nothing is warm enough (+{warmer_c:.0f} °C, {LEAST_WARMER_C:.0f} °C are needed).",
        )
    is_object = rise_c > EDGE_SHARE * warmer_c
    count, labels = cv2.connectedComponents(is_object.astype(np.uint8), connectivity=8)
    if count > 2:  # the first is the room
        raise BadCalibration(
            "热像中有几处热的地方，请只留一个，并让脸离开画面。",
            "Several things are warm: leave one, and keep your face out of the picture.",
        )
    if is_object.mean() > MOST_SHARE:
        raise BadCalibration(
            "物体在热像中太大，请拿远一些或换小一点的。",
            "The object is too large: hold it farther away, or take a smaller.",
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
    """The object over several readings, held still. Raises BadCalibration."""
    if len(pictures_c) < LEAST_READINGS:
        raise BadCalibration("热像读数太少，至少需要一秒。", "Too few thermal readings: a second of them is needed.")
    spots = [warm_spot(pixels_c) for pixels_c in pictures_c]
    x, y = median(spot.at[0] for spot in spots), median(spot.at[1] for spot in spots)
    if any(max(abs(spot.at[0] - x), abs(spot.at[1] - y)) > MOST_MOVED for spot in spots):
        raise BadCalibration("物体在动，请拿稳。", "The object moves: hold it still.")
    return WarmSpot((x, y), median(spot.warmer_c for spot in spots))
