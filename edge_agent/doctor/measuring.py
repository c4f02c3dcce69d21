"""Checks of camera and thermometer: that they deliver data, and that the data changes."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from config.settings import Settings
from drivers.contract import Camera, CameraFrame, PartFault, PartState, SpotReading, ThermalFrame, Thermometer
from drivers.errors import DriverError
from drivers.thermometers.dead_pixels import WINDOW_FRAMES
from drivers.thermometers.stuck_sensor import MinimumVariation, StuckSensorDetector
from drivers.thermometers.table import MODELS
from edge_agent.box.devices import camera_from, thermometer_from
from edge_agent.box.model_packs import detector_from
from edge_agent.doctor.device_check import DAMAGED, result_from, result_from_agent, running, unusable
from edge_agent.doctor.report import Check, CheckResult, Site, ok, warning
from edge_agent.measurement.upright_monitor import UprightMonitor
from models.detectors.upright import make_upright_probe
from models.errors import ModelError

_WATCH_CAMERA_S = 2.6  # the driver reports a frozen picture after 2 s
_WATCH_THERMOMETER_S = 12.0  # the driver reports a stuck array after 10 s
_EXAMINED_PICTURES = 6
_LEAST_RATE = 0.5  # of the configured frame rate


async def camera(site: Site) -> CheckResult:
    """Pictures arrive, change, and have the configured size and rate."""
    if reported := result_from_agent(site, "camera"):
        return reported
    wanted = site.settings.camera
    try:
        part = camera_from(site.settings)
    except DriverError as exc:
        return unusable("camera", "", str(exc))
    async with running(part) as ready:
        if not ready:
            return result_from(part)
        seen = await _watched(part)
        if part.health.state is not PartState.OK:
            return result_from(part)
        damaged = part.counters["damaged"]
    if reason := await asyncio.to_thread(_turned, site.settings, seen.pictures):
        return unusable(part.name, PartState.BROKEN, reason, PartFault.NOT_UPRIGHT)
    found = f"{part.health.detail}, {seen.changed} of {seen.count} pictures differ"
    if damaged:
        return warning(f"{found}, {damaged} damaged", DAMAGED.zh, DAMAGED.en)
    size = (seen.width, seen.height) if wanted.rotate in (0, 180) else (seen.height, seen.width)
    if wanted.source.startswith("/dev/") and size != (wanted.width, wanted.height):
        return warning(
            f"{found}; configured {wanted.width}x{wanted.height}",
            "摄像头不支持该分辨率：请改 [camera] width、height。",
            "The camera does not support this size: change [camera] width and height.",
        )
    if seen.count and not seen.changed:
        return unusable(part.name, PartState.BROKEN, found)
    if seen.changed < _LEAST_RATE * wanted.fps * seen.seconds:
        return warning(
            f"{found} within {seen.seconds:.1f} s; configured {wanted.fps:g} a second",
            "帧率过低：请改善照明，或将摄像头接到单独的 USB 口。",
            "The frame rate is too low: improve the light, or use a separate USB port.",
        )
    return ok(found)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The pictures of some seconds; `changed` of them differ from the one before. `pictures` are a few of them."""

    width: int
    height: int
    count: int
    changed: int
    seconds: float
    pictures: tuple[CameraFrame, ...]


async def _watched(part: Camera) -> _Seen:
    sequence, frame = await part.frames.after(0)
    started_s, count, changed = time.monotonic(), 0, 0
    pictures = [frame]
    try:
        async with asyncio.timeout(_WATCH_CAMERA_S):
            while part.health.state is PartState.OK:
                sequence, following = await part.frames.after(sequence)
                count += 1
                changed += not np.array_equal(frame.image, following.image)
                frame = following
                if frame.taken_at_s - pictures[-1].taken_at_s >= _WATCH_CAMERA_S / _EXAMINED_PICTURES:
                    pictures.append(frame)
    except TimeoutError:
        pass  # the time is over
    height, width = frame.image.shape[:2]
    return _Seen(width, height, count, changed, time.monotonic() - started_s, tuple(pictures))


def _turned(settings: Settings, pictures: Sequence[CameraFrame]) -> str:
    """How the camera is turned by the faces in `pictures`; "" if they stand upright, or where there are none."""
    reasons = [""]
    mounted = settings.camera
    try:
        detector, probe = detector_from(settings), make_upright_probe()
    except ModelError:
        return ""  # the check of the models reports it
    monitor = UprightMonitor(probe, reasons.append, rotate_deg=mounted.rotate, flip=mounted.flip)
    for frame in pictures:
        monitor.checked(detector.detect(frame.image), frame.image, frame.taken_at_s)
    return reasons[-1]


async def thermometer(site: Site) -> CheckResult:
    """Readings arrive and change: every real sensor has noise."""
    if reported := result_from_agent(site, "thermometer"):
        return reported
    try:
        part = thermometer_from(site.settings)
    except DriverError as exc:
        return unusable("thermometer", "", str(exc))
    least = MODELS[site.settings.thermometer.driver].minimum_variation
    async with running(part) as ready:
        if not ready:
            return result_from(part)
        spread_c, reading = await _spread(part, least)
        if part.health.state is not PartState.OK:
            return result_from(part)
    found = "; ".join(
        text for text in (f"{_warmest_c(reading):.1f} °C, changed by {spread_c:.2f} °C", part.health.detail) if text
    )
    if spread_c >= least.spread_c:
        return ok(found)
    return warning(
        f"{found} within {_WATCH_THERMOMETER_S:g} s",
        "请用手靠近再检查一次：数值必须变化。",
        "Hold a hand in front of the sensor and run this again: the value must change.",
    )


async def _spread(part: Thermometer, least: MinimumVariation) -> tuple[float, ThermalFrame | SpotReading]:
    """How far the readings changed in °C, and the last one.

    Ends when `least` is reached and, with an array, its dead pixels have been found.
    """
    detector = StuckSensorDetector(MinimumVariation(math.inf, math.inf))
    sequence, reading = await part.readings.after(0)
    frames = WINDOW_FRAMES + 1 if isinstance(reading, ThermalFrame) else 0
    detector.is_varying(reading)
    try:
        async with asyncio.timeout(_WATCH_THERMOMETER_S):
            while detector.variation_c < least.spread_c or sequence < frames:
                sequence, reading = await part.readings.after(sequence)
                detector.is_varying(reading)
    except TimeoutError:
        pass  # the time is over
    return detector.variation_c, reading


def _warmest_c(reading: ThermalFrame | SpotReading) -> float:
    return reading.object_c if isinstance(reading, SpotReading) else float(reading.pixels_c.max())


CHECKS = (Check("camera", camera, limit_s=20.0), Check("thermometer", thermometer, limit_s=25.0))
