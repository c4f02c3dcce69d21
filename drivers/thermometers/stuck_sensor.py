"""Detects a thermometer whose readings do not vary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.contract import SpotReading, ThermalFrame


@dataclass(frozen=True, slots=True)
class MinimumVariation:
    """Minimum range `spread_c` that the median pixel of a sensor must cover within `window_s`."""

    window_s: float
    spread_c: float


class StuckSensorDetector:
    """Checks readings in the order of their arrival; stores one minimum and one maximum per pixel.

    Every real sensor has noise above its last digit. Constant values come from a hung controller, a replayed recording
    or a module that "normalises" its output, and must not be used for a decision.
    """

    def __init__(self, minimum: MinimumVariation) -> None:
        self._minimum = minimum
        self._low: NDArray[np.float32] | None = None
        self._high: NDArray[np.float32] | None = None
        self._since_s = 0.0

    @property
    def variation_c(self) -> float:
        """Range of the median pixel since the window began."""
        return 0.0 if self._low is None or self._high is None else float(np.median(self._high - self._low))

    def is_varying(self, reading: ThermalFrame | SpotReading) -> bool:
        """Add a reading; returns False while the variation has been too small for at least a whole window."""
        values = reading.pixels_c if isinstance(reading, ThermalFrame) else np.array([reading.object_c], np.float32)
        if self._low is None or self._high is None:
            return self._start(values, reading.taken_at_s)
        self._low, self._high = np.minimum(self._low, values), np.maximum(self._high, values)
        if self.variation_c >= self._minimum.spread_c:
            return self._start(values, reading.taken_at_s)
        return reading.taken_at_s - self._since_s < self._minimum.window_s

    def _start(self, values: NDArray[np.float32], at_s: float) -> bool:
        self._low = self._high = values
        self._since_s = at_s
        return True
