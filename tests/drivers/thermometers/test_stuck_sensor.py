from __future__ import annotations

import numpy as np

from drivers.contract import SpotReading, ThermalFrame
from drivers.thermometers.stuck_sensor import MinimumVariation, StuckSensorDetector

LEAST = MinimumVariation(window_s=10.0, spread_c=0.02)


def still(at_s: float, celsius: float = 24.0) -> ThermalFrame:
    return ThermalFrame(np.full((24, 32), celsius, np.float32), 25.0, at_s)


def test_a_sensor_with_noise_varies() -> None:
    watch, random = StuckSensorDetector(LEAST), np.random.default_rng(1)
    for step in range(100):
        noisy = random.normal(24, 0.1, (24, 32)).astype(np.float32)
        assert watch.is_varying(ThermalFrame(noisy, 25.0, step / 4))


def test_a_constant_array_is_stuck_after_the_window_until_it_changes() -> None:
    watch = StuckSensorDetector(LEAST)
    verdicts = [watch.is_varying(still(step / 4)) for step in range(48)]
    assert verdicts == [True] * 40 + [False] * 8
    assert watch.is_varying(still(12.0, celsius=24.1))
    assert watch.is_varying(still(21.9, celsius=24.1))
    assert not watch.is_varying(still(22.0, celsius=24.1))


def test_one_flickering_pixel_does_not_make_an_array_vary() -> None:
    watch = StuckSensorDetector(LEAST)
    for step in range(41):
        frame = still(step / 4)
        frame.pixels_c[0, 0] += step % 2
        is_varying = watch.is_varying(frame)
    assert not is_varying


def test_a_spot_thermometer_is_checked_by_its_object_temperature() -> None:
    watch = StuckSensorDetector(MinimumVariation(window_s=60.0, spread_c=0.009))
    assert all(watch.is_varying(SpotReading(36.5 + step % 2 / 100, 24.0, float(step))) for step in range(100))
    assert [watch.is_varying(SpotReading(36.5, 24.0 + at_s, at_s)) for at_s in (101.0, 160.9, 161.1)] == [
        True,
        True,
        False,
    ]
