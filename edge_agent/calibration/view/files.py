"""Touches from saved pictures and thermal recordings, for scripts and for a box without a touch screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config.settings import ThermometerSettings
from edge_agent.calibration.errors import BadCalibration
from edge_agent.calibration.view.sensor import recorded_frames
from edge_agent.calibration.view.warm_spot import steady_spot
from edge_agent.measurement.camera_to_thermal import Size, Touch
from models.errors import PictureUnreadable
from models.picture import read_picture


@dataclass(frozen=True, slots=True)
class Shot:
    """One place of the object: a camera picture, the object's position in its pixels, and a thermal recording."""

    picture: Path
    at_px: tuple[float, float]
    thermal: Path


def touches_from(shots: Sequence[Shot], chosen: ThermometerSettings) -> tuple[tuple[Touch, ...], Size, Size]:
    """The touches from `shots`, and the sizes (width, height) of camera picture and thermal frame.

    Raises BadCalibration, or BadSetting for an unreadable recording.
    """
    shown = [_read(shot, chosen) for shot in shots]
    touches, camera_sizes, thermal_sizes = zip(*shown, strict=True)
    if len(set(camera_sizes)) > 1:
        raise BadCalibration("各张照片大小不同。", "The pictures have different sizes.")
    return touches, camera_sizes[0], thermal_sizes[0]


def _read(shot: Shot, chosen: ThermometerSettings) -> tuple[Touch, Size, Size]:
    try:
        image = read_picture(shot.picture)
    except PictureUnreadable as exc:
        raise BadCalibration(f"{shot.picture} 不是可读的图片。", f"not a readable picture: {exc}") from exc
    height, width = image.shape[:2]
    x, y = shot.at_px
    if not (0 <= x < width and 0 <= y < height):
        raise BadCalibration(
            f"{x:g},{y:g} 不在 {shot.picture} 内。", f"{x:g},{y:g} is outside {shot.picture} ({width}x{height})."
        )
    frames = recorded_frames(shot.thermal, chosen)
    try:
        spot = steady_spot([frame.pixels_c for frame in frames])
    except BadCalibration as exc:
        raise BadCalibration(f"{shot.thermal}：{exc.zh}", f"{shot.thermal}: {exc.en}") from exc
    rows, cols = frames[0].pixels_c.shape
    return Touch(((x + 0.5) / width, (y + 0.5) / height), spot.at), (width, height), (cols, rows)
