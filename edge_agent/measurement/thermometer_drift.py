"""Detects drift of the thermometer: the people it measures are, taken together, a steady reference.

Alarms when their median leaves the range of the clinical study, or differs from the same hour of earlier days, and when
people differ too little: a sensor that "normalises" its output hides fevers.
"""

from __future__ import annotations

from collections import deque
from statistics import median, quantiles

from edge_agent.domain.passage import TemperatureReading
from edge_agent.measurement.core_temperature import shipped

PEOPLE = 30  # the median of so many is exact to 0.1 °C: they scatter by 0.4 °C
PAST_DAYS = 14
_LEAST_DAYS = 3
_LEAST_AN_HOUR = 10
_KEPT_AN_HOUR = 240
FROM_STUDY_C = 0.8  # rooms and small arrays differ from the study's camera by some tenths
FROM_PAST_C = 0.4  # the same box, the same hour: half a degree of skin hides a fever
LEAST_SPREAD_C = 0.08  # a fifth of the study's: less than even the noise of a sensor
_IQR_OF_SIGMA = 1.349
_WATCHED = ("face_max", "canthi_max", "forehead_max", "forehead_center")  # the first that this sensor gives


class ThermometerDriftDetector:
    """Stores the skin of the last people and the median of each hour of the last days, without identities."""

    def __init__(self) -> None:
        self._region: str | None = None
        self._recent: deque[float] = deque(maxlen=PEOPLE)
        self._hour: int | None = None
        self._this_hour: deque[float] = deque(maxlen=_KEPT_AN_HOUR)
        self._past: dict[int, deque[float]] = {hour: deque(maxlen=PAST_DAYS) for hour in range(24)}
        self._alarmed = False

    def note(self, reading: TemperatureReading, hour: int) -> str | None:
        """Add one person, once; returns a message for staff when a fault begins, else None."""
        if self._region is None:
            self._region = next((name for name in _WATCHED if name in reading.regions), None)
        if self._region is None or self._region not in reading.regions:
            return None
        skin_c = reading.regions[self._region] + reading.correction_c
        self._turn_to(hour)
        self._recent.append(skin_c)
        self._this_hour.append(skin_c)
        wrong = self._wrong(self._region, hour) if len(self._recent) == PEOPLE else None
        began = wrong if not self._alarmed else None
        self._alarmed = wrong is not None
        return began

    def _turn_to(self, hour: int) -> None:
        """Move the hour that has ended to the history."""
        if hour == self._hour:
            return
        if self._hour is not None and len(self._this_hour) >= _LEAST_AN_HOUR:
            self._past[self._hour].append(median(self._this_hour))
        self._this_hour.clear()
        self._hour = hour

    def _wrong(self, region: str, hour: int) -> str | None:
        low, middle, high = quantiles(self._recent, n=4)
        if (high - low) / _IQR_OF_SIGMA < LEAST_SPREAD_C:
            return f"the last {PEOPLE} people differ by less than {LEAST_SPREAD_C} °C ({region}): does it normalise?"
        past = self._past[hour]
        if len(past) >= _LEAST_DAYS and abs(middle - median(past)) > FROM_PAST_C:
            return f"{region} is {middle - median(past):+.1f} °C from this box's past at this hour: calibrate"
        expected_c = shipped().usual_skin_c(region)
        if abs(middle - expected_c) > FROM_STUDY_C:
            return f"{region} is {middle - expected_c:+.1f} °C from what people have in a room: calibrate"
        return None
