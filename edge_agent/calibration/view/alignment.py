"""The alignment while it is made: the newest thermal readings, the touches so far, and what is wrong with them."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from drivers.contract import ThermalFrame
from edge_agent.calibration.errors import BadCalibration
from edge_agent.calibration.view.warm_spot import LEAST_READINGS, WarmSpot, steady_spot
from edge_agent.measurement.camera_to_thermal import LEAST_TOUCHES, Fit, Point, Size, Touch, fit_camera_to_thermal

PLACES: tuple[Point, ...] = (
    (0.7, 0.3),
    (0.3, 0.3),
    (0.3, 0.7),
    (0.7, 0.7),
)  # clockwise in a mirror, from the upper left
LEAST_APART = 0.15  # of the picture; nearer is the same touch twice


class Alignment:
    """Four touches, one after the other; the fourth makes the fit, or is the reason to start again."""

    def __init__(self, *, mirror: bool) -> None:
        self._mirror = mirror
        self._readings: deque[ThermalFrame] = deque(maxlen=LEAST_READINGS)
        self._touches: list[Touch] = []
        self._fit: Fit | None = None

    @property
    def touches(self) -> tuple[Touch, ...]:
        """The touches that count."""
        return tuple(self._touches)

    @property
    def fit(self) -> Fit | None:
        """What the touches make, once there are enough."""
        return self._fit

    @property
    def thermal(self) -> NDArray[np.float32] | None:
        """The newest thermal picture, (rows, cols) in °C."""
        return self._readings[-1].pixels_c if self._readings else None

    @property
    def thermal_size(self) -> Size:
        """(columns, rows) of the thermal picture. Raises BadCalibration before the first."""
        if self.thermal is None:
            raise BadCalibration("测温仪没有读数。", "The thermometer gives no reading.")
        rows, cols = self.thermal.shape
        return cols, rows

    def feel(self, reading: ThermalFrame) -> None:
        """Take in a thermal picture."""
        self._readings.append(reading)

    def lose_thermal(self) -> None:
        """Forget the thermal pictures: no new one came."""
        self._readings.clear()

    def spot(self) -> WarmSpot:
        """The warm object, held still. Raises BadCalibration."""
        return steady_spot([reading.pixels_c for reading in self._readings])

    def touch(self, camera: Point) -> None:
        """The object is at `camera` in the camera's picture. Raises BadCalibration; a bad fourth forgets all."""
        if self._fit is not None:
            raise BadCalibration("四个点已点完。", "All four touches are made.")
        if any(math.dist(camera, before.camera) < LEAST_APART for before in self._touches):
            raise BadCalibration(
                "离前面的点太近，请换一处。", "That is too near to a touch before: choose another place."
            )
        self._touches.append(Touch(camera, self.spot().at))
        if len(self._touches) == LEAST_TOUCHES:
            try:
                self._fit = fit_camera_to_thermal(self._touches, self.thermal_size, mirror=self._mirror)
            except BadCalibration:
                self.again()
                raise

    def again(self) -> None:
        """Forget every touch."""
        self._touches.clear()
        self._fit = None
