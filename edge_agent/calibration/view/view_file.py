"""The alignment of camera and thermometer as a file beside the thermometer's calibration."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from config.settings import Settings
from edge_agent.box.versioned_file import keep_value, kept_value
from edge_agent.measurement.camera_to_thermal import CameraToThermal, Size, Touch, fit_camera_to_thermal

FILE_NAME = "view-calibration.json"

_LOG = logging.getLogger(__name__)


class ViewCalibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`view` with its origin: by whom, when, with which devices and touches.

    `asked_size` is the configured camera size and `camera_size` the actual one, as (width, height);
    `residual_px` is the largest error of a touch in thermal pixels.
    """

    driver: str
    mirror: bool
    serial: str
    camera_serial: str
    by: str
    at: datetime
    asked_size: Size
    camera_size: Size
    thermal_size: Size
    touches: tuple[Touch, ...]
    view: CameraToThermal
    residual_px: float
    version: Literal[1] = 1

    @property
    def summary(self) -> str:
        """Residual, date and name in one line."""
        return f"residual {self.residual_px:.2f} thermal pixels, {self.at:%Y-%m-%d} by {self.by}"

    def misfit(self, settings: Settings) -> str:
        """Why it does not match `settings`; "" if it does."""
        thermometer, camera = settings.thermometer, settings.camera
        if self.driver != thermometer.driver:
            return f"it is for a {self.driver}, not for this {thermometer.driver}"
        if self.mirror != thermometer.mirror:
            return f"[thermometer] mirror was {str(self.mirror).lower()} then"
        if self.asked_size != (camera.width, camera.height):
            return f"[camera] was {self.asked_size[0]}x{self.asked_size[1]} then"
        return ""


def aligned(
    touches: Sequence[Touch],
    camera_size: Size,
    thermal_size: Size,
    *,
    settings: Settings,
    by: str,
    at: datetime,
    serial: str,
    camera_serial: str,
) -> ViewCalibration:
    """The alignment from `touches`. Raises BadCalibration."""
    fit = fit_camera_to_thermal(touches, thermal_size, mirror=settings.thermometer.mirror)
    return ViewCalibration(
        driver=settings.thermometer.driver,
        mirror=settings.thermometer.mirror,
        serial=serial,
        camera_serial=camera_serial,
        by=by,
        at=at,
        asked_size=(settings.camera.width, settings.camera.height),
        camera_size=camera_size,
        thermal_size=thermal_size,
        touches=tuple(touches),
        view=fit.view,
        residual_px=fit.residual_px,
    )


def save_view(found: ViewCalibration, data_dir: Path) -> Path:
    """Save it in `data_dir`; the previous one is kept beside it. Raises OSError."""
    return keep_value(data_dir / FILE_NAME, found)


def load_view(data_dir: Path) -> ViewCalibration | None:
    """The alignment in `data_dir`, None if there is none. Raises SettingsError."""
    return kept_value(data_dir / FILE_NAME, ViewCalibration, "align again or remove it")


def load_camera_to_thermal(settings: Settings) -> CameraToThermal:
    """The alignment of this box if it matches the settings, otherwise the one from [thermometer] covers.

    Raises SettingsError.
    """
    found = load_view(Path(settings.box.data_dir))
    if found is not None:
        misfit = found.misfit(settings)
        if not misfit:
            return found.view
        _LOG.warning("the alignment of camera and thermometer is not used: %s", misfit)
    return CameraToThermal.over(settings.thermometer.covers)
