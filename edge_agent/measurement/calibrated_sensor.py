"""The correction of the thermometer by its calibration, as far as that is valid."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from config.settings import ThermometerSettings
from edge_agent.calibration.correction import CalibrationValidity, load_calibration, validity
from edge_agent.domain.passage import Moment
from edge_agent.measurement.screening import SkinSensor

EXPIRED_FACTOR = 2.0

_LOG = logging.getLogger(__name__)

_SAID = {
    CalibrationValidity.VALID: "the calibration is valid until {until}",
    CalibrationValidity.EXPIRED: "the calibration expired on {until}",
    CalibrationValidity.UNSURE: "clock not in sync: whether the calibration is valid, until {until}, is not known",
}


class CalibratedSensor:
    """The correction of one thermometer: by its calibration, or by the settings where it has none for its model.

    Judged at every call, because the clock may be confirmed later, or a calibration expire in use. Unless it is
    certainly valid its uncertainty counts EXPIRED_FACTOR times, so that more people are measured again.
    """

    def __init__(self, thermometer: ThermometerSettings, data_dir: Path, now: Callable[[], Moment]) -> None:
        """Raises SettingsError where the calibration in `data_dir` cannot be read."""
        self._own = SkinSensor.from_settings(thermometer)
        self._now = now
        self._last = CalibrationValidity.VALID
        self._calibration = load_calibration(data_dir)
        if self._calibration is not None and self._calibration.driver != thermometer.driver:
            _LOG.warning(
                "the calibration is for a %s, not for this %s: not used", self._calibration.driver, thermometer.driver
            )
            self._calibration = None

    def __call__(self) -> SkinSensor:
        """The correction now."""
        found = self._calibration
        if found is None:
            return self._own
        state = validity(found, self._now())
        if state is not self._last:
            self._last = state
            _LOG.warning("%s", _SAID[state].format(until=found.expires_at.date()))
        factor = 1.0 if state is CalibrationValidity.VALID else EXPIRED_FACTOR
        return replace(self._own, offset_c=found.offset_c, uncertainty_c=found.uncertainty_c * factor)
