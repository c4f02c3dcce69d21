"""From one arrival's samples to a screening temperature: nothing measured means nothing said."""

import pytest

from edge_agent.measurement.core_temperature import estimate_core
from edge_agent.measurement.screening import SkinSample, SkinSensor, screen

ROOM_C = 23.0


def sample(skin_c: float = 35.6, ambient_c: float = ROOM_C, **more: float) -> SkinSample:
    return SkinSample({"face_max": skin_c, **more}, ambient_c, 0.0)


def test_without_samples_it_is_not_measured() -> None:
    reading = screen([], SkinSensor(uncertainty_c=0.2))
    assert reading.estimate_c is None
    assert reading.samples == 0


def test_one_bad_frame_does_not_move_the_reading() -> None:
    assert screen([sample(skin_c) for skin_c in (35.5, 35.6, 39.9)], SkinSensor()).skin_c == 35.6


def test_a_region_seen_in_some_frames_counts() -> None:
    reading = screen([sample(), sample(canthi_max=35.3), sample(canthi_max=35.5)], SkinSensor())
    assert reading.regions == {"canthi_max": 35.4, "face_max": 35.6}
    assert reading.skin_c == 35.4
    assert reading.method.endswith("canthi_max+face_max")


def test_raw_values_and_the_correction_are_kept_apart() -> None:
    reading = screen([sample(34.9)], SkinSensor(offset_c=0.7))
    assert (reading.skin_c, reading.regions, reading.correction_c) == (34.9, {"face_max": 34.9}, 0.7)
    assert reading.estimate_c == pytest.approx(estimate_core({"face_max": 35.6}, ROOM_C).core_c, abs=0.006)


def test_what_is_covered_is_judged_after_the_correction() -> None:
    reading = screen([sample(33.6, canthi_max=33.5)], SkinSensor(offset_c=2.0))
    assert (reading.skin_c, reading.outside) == (33.5, ())
    assert screen([sample(35.6, canthi_max=31.0)], SkinSensor()).skin_c == 35.6


def test_a_poor_sensor_is_less_sure() -> None:
    good, fair, poor = (
        screen([sample()], SkinSensor(uncertainty_c=value)).uncertainty_c or 0 for value in (0.0, 0.3, 2.0)
    )
    assert good < fair < poor


def test_a_board_that_warms_itself_is_not_the_room() -> None:
    warm = [sample(ambient_c=33.0)]
    assert screen(warm, SkinSensor()).outside == ("ambient",)
    reading = screen(warm, SkinSensor(ambient_offset_c=-8.0))
    assert reading.outside == ()
    assert reading.ambient_c == 33.0


def test_a_sensor_that_tells_no_ambient_cannot_say_that_the_room_is_right() -> None:
    reading = screen([SkinSample({"forehead_center": 34.4}, None, 0.0)], SkinSensor())
    assert reading.ambient_c is None
    assert reading.estimate_c is not None
    assert reading.outside == ("ambient_unknown",)


def test_the_distance_counts_where_it_is_known() -> None:
    reading = screen([sample(), SkinSample({"face_max": 35.6}, ROOM_C, 0.0, distance_m=1.6)], SkinSensor())
    assert reading.distance_m == 1.6
    assert reading.outside == ("distance",)


@pytest.mark.parametrize("skin_c", [35.2, 35.4, 35.6])
def test_the_demo_s_healthy_visitors_are_clearly_well(skin_c: float) -> None:
    reading = screen([sample(skin_c, 24.0)], SkinSensor(uncertainty_c=0.2))
    assert reading.estimate_c is not None and reading.uncertainty_c is not None
    assert reading.estimate_c + reading.uncertainty_c < 37.3


@pytest.mark.parametrize("skin_c", [37.6, 38.2])
def test_the_demo_s_feverish_visitors_are_clearly_ill(skin_c: float) -> None:
    reading = screen([sample(skin_c, 24.0)], SkinSensor(uncertainty_c=0.2))
    assert reading.estimate_c is not None and reading.uncertainty_c is not None
    assert reading.estimate_c - reading.uncertainty_c > 37.3
