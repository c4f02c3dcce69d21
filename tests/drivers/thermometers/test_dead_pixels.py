"""Pixels that do not measure are found, left out and named; an array with too many of them is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.contract import PartState, PixelFault, ThermalFrame
from drivers.serial_line.framing import FrameParser
from drivers.serial_line.serial_line import SerialLine
from drivers.simulated.devices.gy_mcu90640_module import encode_frame
from drivers.simulated.devices.sensor_frames import evo_thermal_33
from drivers.simulated.devices.thermal_scene import ThermalScene, WarmFace
from drivers.simulated.devices.wire import PtyWire
from drivers.thermometers.dead_pixels import MOST_DEAD, WINDOW_FRAMES, DeadPixelFilter, describe, too_many
from drivers.thermometers.evo_thermal_33 import EvoThermal33
from drivers.thermometers.gy_mcu90640 import GyMcu90640
from drivers.thermometers.serial_thermometer import SerialThermometer
from drivers.thermometers.table import ARRAY_VARIATION
from tests.drivers.driver_bench import eventually, running, state

FACE = WarmFace(0.5, 0.5, 0.3, 0.5, 35.0)
ABSENT: WarmFace | None = None
Spoil = Callable[[NDArray[np.float64]], None]


class Array:
    """A GY-MCU90640 before a scene, of which `spoil` changes the measured picture."""

    def __init__(self, spoil: Spoil) -> None:
        self.scene = ThermalScene(seed=1)
        self.parser = GyMcu90640(mirror=True)
        self._spoil = spoil

    def frame(self, face: WarmFace | None = ABSENT) -> bytes:
        picture = self.scene.picture(face)
        self._spoil(picture)
        return encode_frame(picture[:, ::-1], 25.0)

    def look(self, face: WarmFace | None = ABSENT) -> ThermalFrame:
        (reading,) = self.parser.feed(self.frame(face), 0.0)
        return reading

    def learn(self, windows: int = 1) -> None:
        for _ in range(windows * WINDOW_FRAMES):
            self.look()


def pixel(row: int, col: int, celsius: float) -> Spoil:
    def spoil(picture: NDArray[np.float64]) -> None:
        picture[row, col] = celsius

    return spoil


def faults(frame: ThermalFrame) -> dict[tuple[int, int], PixelFault]:
    return {(dead.row, dead.col): dead.fault for dead in frame.left_out}


@pytest.mark.parametrize("celsius", [-273.15, -41.0, 300.5, 327.67])
def test_a_pixel_out_of_range_is_left_out_at_once(celsius: float) -> None:
    frame = Array(pixel(3, 7, celsius)).look()
    assert faults(frame) == {(3, 7): PixelFault.OUT_OF_RANGE}
    assert abs(frame.pixels_c[3, 7] - 24) < 0.5
    assert describe(frame.left_out) == "1 pixel left out: row 4 column 8 out of range"


@pytest.mark.parametrize("celsius", [0.0, 23.9, 38.9, 120.0])
def test_a_stuck_pixel_is_learned_and_feeds_no_maximum(celsius: float) -> None:
    array = Array(pixel(12, 16, celsius))
    array.learn()
    frame = array.look(FACE)
    assert faults(frame) == {(12, 16): PixelFault.STUCK}
    healthy = Array(lambda _picture: None)
    healthy.learn()
    assert abs(frame.pixels_c.max() - healthy.look(FACE).pixels_c.max()) < 0.01


def test_a_pixel_that_flickers_by_a_digit_is_stuck() -> None:
    numbers = iter(range(10_000))

    def flicker(picture: NDArray[np.float64]) -> None:
        picture[5, 5] = 36.0 + next(numbers) % 2 / 100

    array = Array(flicker)
    array.learn()
    assert faults(array.look()) == {(5, 5): PixelFault.STUCK}


def test_a_pixel_far_from_all_its_neighbours_is_left_out_but_may_be_a_lamp() -> None:
    def offset(picture: NDArray[np.float64]) -> None:
        picture[2:20:3, 4] += 15.0

    array = Array(offset)
    array.learn()
    frame = array.look()
    assert set(faults(frame).values()) == {PixelFault.OUTLIER}
    assert len(frame.left_out) == 6 and not too_many(frame.left_out)
    assert frame.pixels_c.max() < 26


def test_healthy_pixels_stay_in_while_people_move() -> None:
    array = Array(lambda _picture: None)
    for step in range(5 * WINDOW_FRAMES):
        face = WarmFace(0.5 + 0.4 * np.sin(step), 0.5, 0.7, 0.9, 36.0) if step % 3 else None
        assert array.look(face).left_out == ()


def test_a_pixel_that_measures_again_comes_back() -> None:
    dead = True

    def spoil(picture: NDArray[np.float64]) -> None:
        if dead:
            picture[0, 0] = -100.0
            picture[23, 31] = 30.0

    array = Array(spoil)
    array.learn(windows=2)
    assert set(faults(array.look())) == {(0, 0), (23, 31)}
    dead = False
    array.learn(windows=3)
    assert array.look().left_out == ()


def test_a_cluster_in_a_corner_is_replaced_from_further_away() -> None:
    def spoil(picture: NDArray[np.float64]) -> None:
        picture[:2, :2] = 310.0

    frame = Array(spoil).look()
    assert len(frame.left_out) == MOST_DEAD and not too_many(frame.left_out)
    assert np.abs(frame.pixels_c - 24).max() < 1


def test_an_array_that_does_not_change_at_all_is_not_a_matter_of_pixels() -> None:
    parser = GyMcu90640()
    for _ in range(2 * WINDOW_FRAMES + 1):
        (frame,) = parser.feed(encode_frame(np.full((24, 32), 30.0), 25.0), 0.0)
    assert frame.left_out == ()


def test_a_picture_mostly_out_of_range_is_refused_as_another_format() -> None:
    picture = np.full((24, 32), 24.0)
    picture[:13] = 320.0
    parser: FrameParser[ThermalFrame] = GyMcu90640()
    assert [*parser.feed(encode_frame(picture, 25.0), 0.0), *parser.feed(b"", 0.0)] == []
    assert parser.counters["refused"] == 1


def test_another_array_with_coarser_digits_is_checked_too() -> None:
    parser, random = EvoThermal33(), np.random.default_rng(1)
    for _ in range(2 * WINDOW_FRAMES):
        picture = random.normal(24.0, 0.15, (32, 32))
        picture[9, 9] = 37.5
        (frame,) = parser.feed(evo_thermal_33(picture, 25.0), 0.0)
    assert faults(frame) == {(9, 9): PixelFault.STUCK}


def stuck(count: int) -> Spoil:
    def spoil(picture: NDArray[np.float64]) -> None:
        picture[7, 3 : 3 + 2 * count : 2] = 31.0

    return spoil


@pytest.mark.parametrize(
    ("count", "expected", "detail"),
    [
        (MOST_DEAD, PartState.OK, "4 pixels left out: row 8 column 4 stuck, row 8 column 6 stuck"),
        (MOST_DEAD + 1, PartState.BROKEN, "more than 4 dead pixels; 5 pixels left out: row 8 column 4 stuck"),
        (12, PartState.BROKEN, "12 pixels left out"),
    ],
)
async def test_the_part_names_its_dead_pixels_and_refuses_too_many(
    tmp_path: Path, count: int, expected: PartState, detail: str
) -> None:
    array = Array(stuck(count))
    line = SerialLine("thermometer", str(tmp_path / "port"), bauds=(115200,), silence_s=None)
    thermometer = SerialThermometer(line, GyMcu90640(mirror=True), ARRAY_VARIATION)
    with PtyWire(tmp_path / "port") as wire:
        async with running(thermometer):
            await state(thermometer, PartState.OK)
            for number in range(WINDOW_FRAMES + 3):
                wire.write(array.frame())
                await eventually(lambda number=number: thermometer.counters["frames"] > number)  # type: ignore[misc]
            await asyncio.sleep(0)
            assert thermometer.health.state is expected
            assert detail in thermometer.health.detail
            delivered = WINDOW_FRAMES + (3 if expected is PartState.OK else 0)
            assert thermometer.readings.sequence == delivered


def test_a_pixel_is_replaced_by_the_median_around_it_and_one_bad_frame_is_not_learned() -> None:
    filter_ = DeadPixelFilter(5, 5, (-20.0, 150.0))
    for step in range(WINDOW_FRAMES + 1):
        measured_c = np.random.default_rng(step).normal(30.0, 0.1, (5, 5)).astype(np.float32)
        measured_c[1, 1] += 9.0
        if step == 3:
            measured_c[2, 2] = 400.0
        frame = filter_.frame(measured_c, 25.0, float(step))
        assert isinstance(frame, ThermalFrame)
        if step == 3:
            assert 29.5 < frame.pixels_c[2, 2] < 30.5
    assert frame.left_out == ()
