"""Where a point of the camera's picture lies in the thermal picture: an affine mapping, and its fit to touches.

Points are fractions of a picture, (0, 0) its upper left corner and (1, 1) its lower right one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from edge_agent.calibration.errors import BadCalibration

Point = tuple[float, float]
Box = tuple[float, float, float, float]
Row = tuple[float, float, float]
Size = tuple[Annotated[int, Meta(ge=1)], Annotated[int, Meta(ge=1)]]

LEAST_TOUCHES = 4  # three fix the mapping, the fourth tests it
LEAST_SPREAD = 0.1  # RMS distance of the touches from the line through their middle that passes them best
MOST_RESIDUAL = 1 / 32  # of the thermal picture's width: one pixel of 32
SCALES = (0.2, 5.0)  # of one picture in the other; beyond it one sensor would look past the other's subject


class CameraToThermal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The thermal point of the camera's (x, y): `across` and `down` are (a, b, c) of a·x + b·y + c."""

    across: Row = (1.0, 0.0, 0.0)
    down: Row = (0.0, 1.0, 0.0)

    def __post_init__(self) -> None:
        if not (all(map(math.isfinite, (*self.across, *self.down))) and self._area):
            raise ValueError("a view maps a picture to a picture, not to a line or a point")

    @classmethod
    def over(cls, covers: Box) -> CameraToThermal:
        """The view of an array that sees the part `covers` (x, y, width, height) of the camera's picture."""
        x, y, width, height = covers
        return cls((1 / width, 0.0, -x / width), (0.0, 1 / height, -y / height))

    @property
    def is_mirrored(self) -> bool:
        """Whether one picture shows the world mirrored to the other."""
        return self._area < 0

    @property
    def scales(self) -> tuple[float, float]:
        """The greatest and the least length in the thermal picture of what has length 1 in the camera's."""
        turned = np.linalg.svd(np.array([self.across[:2], self.down[:2]]), compute_uv=False)
        return float(turned[0]), float(turned[1])

    def at(self, point: Point) -> Point:
        """Where `point` of the camera's picture lies in the thermal picture."""
        x, y = point
        (a, b, c), (d, e, f) = self.across, self.down
        return a * x + b * y + c, d * x + e * y + f

    def back(self, point: Point) -> Point:
        """Where `point` of the thermal picture lies in the camera's."""
        (a, b, c), (d, e, f) = self.across, self.down
        x, y = point[0] - c, point[1] - f
        return (e * x - b * y) / self._area, (a * y - d * x) / self._area

    def box(self, box: Box) -> Box:
        """The upright box about `box` (x, y, width, height) in the thermal picture."""
        x, y, width, height = box
        xs, ys = zip(*map(self.at, ((x, y), (x + width, y), (x, y + height), (x + width, y + height))), strict=True)
        return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)

    @property
    def _area(self) -> float:
        """Area in the thermal picture of the camera's whole picture; negative where one is mirrored."""
        return self.across[0] * self.down[1] - self.across[1] * self.down[0]


class Touch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One place of the warm object in both pictures."""

    camera: Point
    thermal: Point


class Fit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The view that touches make; `residual_px` is the greatest error of a touch, in thermal pixels."""

    view: CameraToThermal
    residual_px: float


def fit_camera_to_thermal(touches: Sequence[Touch], thermal_size: Size, *, mirror: bool) -> Fit:
    """The view with the least squared error at `touches`; `thermal_size` is (columns, rows).

    `mirror` is the thermometer's setting, named where it is wrong. Raises BadCalibration.
    """
    if len(touches) < LEAST_TOUCHES:
        raise BadCalibration(f"需要 {LEAST_TOUCHES} 个点。", f"{LEAST_TOUCHES} touches are needed, not {len(touches)}.")
    camera = np.array([touch.camera for touch in touches])
    thermal_px = np.array([touch.thermal for touch in touches]) * thermal_size
    _check_spread(camera)
    known = np.column_stack([camera, np.ones(len(touches))])
    found, *_ = np.linalg.lstsq(known, thermal_px, rcond=None)
    residual_px = float(np.linalg.norm(known @ found - thermal_px, axis=1).max())
    if residual_px > MOST_RESIDUAL * thermal_size[0]:
        raise BadCalibration(
            f"各点不吻合（残差 {residual_px:.1f} 个热像素），请重来：点在物体正中，点时不要动。",
            f"The touches do not fit together ({residual_px:.1f} thermal pixels are left): start again, touch the "
            "middle of the object, hold it still.",
        )
    view = _checked(found.T / np.array(thermal_size)[:, None], mirror)
    return Fit(view, round(residual_px, 3))


def _check_spread(camera: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    """Raises BadCalibration for touches that lie on one line or in one corner."""
    across, along = np.sort(np.linalg.svd(camera - camera.mean(axis=0), compute_uv=False)) / math.sqrt(len(camera))
    if along < LEAST_SPREAD:
        raise BadCalibration(
            "各点太集中，请分散到画面四角附近。", "The touches lie in one corner: spread them over the picture."
        )
    if across < LEAST_SPREAD:
        raise BadCalibration(
            "各点几乎在一条直线上，请分散到画面四角附近。",
            "The touches lie on one line: spread them towards the four corners.",
        )


def _checked(matrix: np.ndarray[tuple[int, ...], np.dtype[np.float64]], mirror: bool) -> CameraToThermal:
    """The view of a (2, 3) matrix. Raises BadCalibration where no way of mounting the two could have made it."""
    (a, b, c), (d, e, f) = matrix.round(6).tolist()
    if not a * e - b * d:
        raise _stuck()
    view = CameraToThermal((a, b, c), (d, e, f))
    greatest, least = view.scales
    if least < SCALES[0]:
        raise _stuck()
    if greatest > SCALES[1]:
        raise BadCalibration(
            "热像只看到画面的很小一部分，请检查两个镜头是否朝向同一处。",
            "The thermometer sees only a small part of the picture: do both look at the same place?",
        )
    if view.is_mirrored:
        right = "false" if mirror else "true"
        raise BadCalibration(
            f"热像左右相反：请在 [thermometer] 中设 mirror = {right}，然后重来。",
            f"The thermal picture is mirrored: set mirror = {right} under [thermometer], then start again.",
        )
    return view


def _stuck() -> BadCalibration:
    return BadCalibration(
        "物体移动时热像中的最热点几乎不动：是否另有更热的东西，或有坏点？",
        "The warm spot hardly moved with the object: is something else warmer, or a pixel stuck?",
    )
