"""Camera and thermometer: not only there, but alive."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass

import numpy as np

from drivers.camera.camera import make_camera
from drivers.contract import Camera, PartState, SpotReading, ThermalFrame, Thermometer
from drivers.errors import DriverError
from drivers.thermometers.stuck_sensor import MinimumVariation, StuckSensorDetector
from drivers.thermometers.table import MODELS, make_thermometer
from edge_agent.doctor.device_check import result_from, running, seen_by_agent, unusable
from edge_agent.doctor.report import Check, CheckResult, Site, ok, warning

_WATCH_CAMERA_S = 2.6  # a frozen picture is called so after 2 s
_WATCH_THERMOMETER_S = 12.0  # an array is called dead after 10 s
_LEAST_RATE = 0.5  # of what was asked for


async def camera(site: Site) -> CheckResult:
    """Pictures come, differ, and are of the size and rate that was asked for."""
    if told := seen_by_agent(site, "camera"):
        return told
    wish = site.settings.camera
    try:
        part = make_camera(source=wish.source, width=wish.width, height=wish.height, fps=wish.fps)
    except DriverError as exc:
        return unusable("camera", "", str(exc))
    async with running(part) as well:
        if not well:
            return result_from(part)
        seen = await _watched(part)
        if part.health.state is not PartState.OK:
            return result_from(part)
    words = f"{part.health.detail}, {seen.changed} of {seen.count} pictures differ"
    if wish.source.startswith("/dev/") and (seen.width, seen.height) != (wish.width, wish.height):
        return warning(
            f"{words}; asked for {wish.width}x{wish.height}",
            "摄像头不支持该分辨率：请改 [camera] width、height。",
            "It cannot give that size: change [camera] width and height.",
        )
    if seen.count and not seen.changed:
        return unusable(part.name, PartState.BROKEN, words)
    if seen.changed < _LEAST_RATE * wish.fps * seen.seconds:
        return warning(
            f"{words} within {seen.seconds:.1f} s; asked for {wish.fps:g} a second",
            "帧率过低：请改善照明，或将摄像头接到单独的 USB 口。",
            "Too few: give it more light, or a USB socket of its own.",
        )
    return ok(words)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What came within some seconds; `changed` pictures were another than the one before."""

    width: int
    height: int
    count: int
    changed: int
    seconds: float


async def _watched(part: Camera) -> _Seen:
    sequence, frame = await part.frames.after(0)
    started_s, count, changed = time.monotonic(), 0, 0
    try:
        async with asyncio.timeout(_WATCH_CAMERA_S):
            while part.health.state is PartState.OK:
                sequence, following = await part.frames.after(sequence)
                count += 1
                changed += not np.array_equal(frame.image, following.image)
                frame = following
    except TimeoutError:
        pass  # the time is over
    height, width = frame.image.shape[:2]
    return _Seen(width, height, count, changed, time.monotonic() - started_s)


async def thermometer(site: Site) -> CheckResult:
    """Readings come and live: every real sensor has noise."""
    if told := seen_by_agent(site, "thermometer"):
        return told
    chosen = site.settings.thermometer
    try:
        part = make_thermometer(driver=chosen.driver, port=chosen.port, baud=chosen.baud, mirror=chosen.mirror)
    except DriverError as exc:
        return unusable("thermometer", "", str(exc))
    least = MODELS[chosen.driver].minimum_variation
    async with running(part) as well:
        if not well:
            return result_from(part)
        moved_c, reading = await _moved(part, least)
        if part.health.state is not PartState.OK:
            return result_from(part)
    words = f"{_warmest_c(reading):.1f} °C, moved by {moved_c:.2f} °C"
    if moved_c >= least.spread_c:
        return ok(words)
    return warning(
        f"{words} within {_WATCH_THERMOMETER_S:g} s",
        "请用手靠近再检查一次：数值必须变化。",
        "Hold a hand before it and run this again: the value must move.",
    )


async def _moved(part: Thermometer, least: MinimumVariation) -> tuple[float, ThermalFrame | SpotReading]:
    """How far the readings moved, and the last one; ends as soon as that proves life."""
    watch = StuckSensorDetector(MinimumVariation(math.inf, math.inf))
    sequence, reading = await part.readings.after(0)
    watch.is_varying(reading)
    try:
        async with asyncio.timeout(_WATCH_THERMOMETER_S):
            while watch.variation_c < least.spread_c:
                sequence, reading = await part.readings.after(sequence)
                watch.is_varying(reading)
    except TimeoutError:
        pass  # the time is over
    return watch.variation_c, reading


def _warmest_c(reading: ThermalFrame | SpotReading) -> float:
    return reading.object_c if isinstance(reading, SpotReading) else float(reading.pixels_c.max())


CHECKS = (Check("camera", camera, limit_s=20.0), Check("thermometer", thermometer, limit_s=25.0))
