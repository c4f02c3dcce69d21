"""An alignment in progress: the newest thermal frames and the touches so far."""

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
LEAST_APART = 0.15  # of the picture; a nearer touch counts as a repetition


class Alignment:
    """Collects four touches; the fourth computes the fit, or clears all if the fit is unusable."""

    def __init__(self, *, mirror: bool) -> None:
        self._mirror = mirror
        self._readings: deque[ThermalFrame] = deque(maxlen=LEAST_READINGS)
        self._touches: list[Touch] = []
        self._fit: Fit | None = None

    @property
    def touches(self) -> tuple[Touch, ...]:
        """The accepted touches."""
        return tuple(self._touches)

    @property
    def fit(self) -> Fit | None:
        """The fit, None before the fourth touch."""
        return self._fit

    @property
    def thermal(self) -> NDArray[np.float32] | None:
        """The newest thermal frame, (rows, cols) in °C; None if there is none."""
        return self._readings[-1].pixels_c if self._readings else None

    @property
    def thermal_size(self) -> Size:
        """(columns, rows) of the thermal frame. Raises BadCalibration if there is none."""
        if self.thermal is None:
            raise BadCalibration("测温仪没有读数。", "No reading from the thermometer.")
        rows, cols = self.thermal.shape
        return cols, rows

    def add_thermal(self, reading: ThermalFrame) -> None:
        """Add a thermal frame."""
        self._readings.append(reading)

    def clear_thermal(self) -> None:
        """Drop the thermal frames, which are outdated."""
        self._readings.clear()

    def spot(self) -> WarmSpot:
        """The warm object, if it is held still. Raises BadCalibration."""
        return steady_spot([reading.pixels_c for reading in self._readings])

    def touch(self, camera: Point) -> None:
        """Record that the object is at `camera` in the picture. Raises BadCalibration; a bad fit clears all."""
        if self._fit is not None:
            raise BadCalibration("四个点已点完。", "All four touches are made.")
        if any(math.dist(camera, before.camera) < LEAST_APART for before in self._touches):
            raise BadCalibration("离前面的点太近，请换一处。", "Too close to an earlier touch: choose another place.")
        self._touches.append(Touch(camera, self.spot().at))
        if len(self._touches) == LEAST_TOUCHES:
            try:
                self._fit = fit_camera_to_thermal(self._touches, self.thermal_size, mirror=self._mirror)
            except BadCalibration:
                self.restart()
                raise

    def restart(self) -> None:
        """Clear all touches."""
        self._touches.clear()
        self._fit = None
