"""Which parts of a face a thermal array shows, and the warmest skin of each.

A 32x24 array at arm's length gives the whole-face maximum and a coarse forehead; the inner corners
of the eyes are 5 mm wide and count only where several pixels lie on them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge_agent.measurement.camera_to_thermal import Box, CameraToThermal, Point

_LEAST_SKIN_C = 30.0  # colder than any face in a room: a wall, a hand-held cup
_FOREHEAD_SHARE = 1 / 3  # the upper third of the face's box
_FOREHEAD_INSET = 0.2  # left off at either side: hair and temples
_LEAST_FOREHEAD_ROWS = 3
_LEAST_EYES_PX = 30  # pixels between the eyes (62 mm): 2 mm a pixel, so that two or three lie on a canthus
_CANTHUS_SHARE = 0.25  # half the side of the square about an inner corner, of half the distance between the eyes


def face_regions(
    pixels_c: NDArray[np.float32], face: Box, view: CameraToThermal, eyes: tuple[Point, Point] | None
) -> dict[str, float]:
    """The warmest skin in °C of each region that the array resolves; empty where it sees no skin.

    `face` (x, y, w, h) and `eyes` (right, left) are fractions of the camera's picture, which `view` maps to the
    array. Names are those of `edge_agent.measurement.core_temperature.REGIONS`.
    """
    found = {"face_max": _warmest(pixels_c, _on_array(view.box(face), pixels_c.shape))}
    forehead = _on_array(view.box(_forehead(face)), pixels_c.shape)
    if forehead[3] >= _LEAST_FOREHEAD_ROWS:
        found["forehead_max"] = _warmest(pixels_c, forehead)
    if eyes:
        found["canthi_max"] = _canthi(pixels_c, eyes, view)
    return {name: value for name, value in found.items() if value is not None}


def _on_array(box: Box, shape: tuple[int, ...]) -> Box:
    """`box`, fractions of the thermal picture, in pixels of the array."""
    rows, cols = shape
    return box[0] * cols, box[1] * rows, box[2] * cols, box[3] * rows


def _forehead(face: Box) -> Box:
    left, top, width, height = face
    return left + _FOREHEAD_INSET * width, top, (1 - 2 * _FOREHEAD_INSET) * width, _FOREHEAD_SHARE * height


def _canthi(pixels_c: NDArray[np.float32], eyes: tuple[Point, Point], view: CameraToThermal) -> float | None:
    """The warmer inner corner of the eyes: each lies about half way from the middle of the eye to the nose."""
    right, left = (_on_array((*view.at(eye), 0.0, 0.0), pixels_c.shape)[:2] for eye in eyes)
    apart = math.dist(right, left)
    if apart < _LEAST_EYES_PX:
        return None
    reach = _CANTHUS_SHARE * apart / 2
    corners = [_between(right, left, 0.25), _between(right, left, 0.75)]
    warmest = [_warmest(pixels_c, (x - reach, y - reach, 2 * reach, 2 * reach)) for x, y in corners]
    return max((value for value in warmest if value is not None), default=None)


def _between(one: Point, other: Point, share: float) -> Point:
    return one[0] + share * (other[0] - one[0]), one[1] + share * (other[1] - one[1])


def _warmest(pixels_c: NDArray[np.float32], box: Box) -> float | None:
    left, top, width, height = box
    region = pixels_c[_span(top, top + height), _span(left, left + width)]
    if region.size == 0:
        return None
    warmest = float(region.max())
    return warmest if warmest >= _LEAST_SKIN_C else None


def _span(start: float, stop: float) -> slice:
    """The whole pixels between two edges; an edge outside the array is clipped, never counted from the end."""
    return slice(max(0, math.floor(start)), max(0, math.ceil(stop)))
