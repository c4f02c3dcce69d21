"""From skin to a screening temperature: nothing measured means nothing said."""

import numpy as np
import pytest

from edge_agent.screening import SkinSample, face_maximum, screen

WHOLE = (0.0, 0.0, 1.0, 1.0)


def room(at: tuple[int, int] | None = None, skin_c: float = 35.5) -> np.ndarray:
    pixels = np.full((24, 32), 24.0, np.float32)
    if at:
        pixels[at] = skin_c
    return pixels


def test_the_warmest_pixel_under_the_face_counts() -> None:
    assert face_maximum(room((12, 16)), (0.4, 0.4, 0.2, 0.2), WHOLE) == pytest.approx(35.5)


def test_a_warm_thing_beside_the_face_does_not_count() -> None:
    assert face_maximum(room((2, 2), 60.0), (0.4, 0.4, 0.2, 0.2), WHOLE) is None


def test_the_array_may_see_a_part_of_the_picture_only() -> None:
    assert face_maximum(room((0, 0)), (0.5, 0.5, 0.02, 0.02), (0.5, 0.5, 0.5, 0.5)) == pytest.approx(35.5)
    assert face_maximum(room((0, 0)), (0.1, 0.1, 0.1, 0.1), (0.5, 0.5, 0.5, 0.5)) is None


def test_without_samples_it_is_not_measured() -> None:
    reading = screen([], 0.0, 0.2)
    assert reading.estimate_c is None
    assert reading.samples == 0


@pytest.mark.parametrize(("skin_c", "estimate_c"), [(35.5, 36.83), (36.0, 37.19), (37.5, 38.26)])
def test_the_fit(skin_c: float, estimate_c: float) -> None:
    assert screen([SkinSample(skin_c, 22.0, 0.0)], 0.0, 0.0).estimate_c == pytest.approx(estimate_c, abs=0.011)


def test_one_bad_frame_does_not_move_the_reading() -> None:
    samples = [SkinSample(skin_c, 22.0, 0.0) for skin_c in (35.5, 35.6, 39.9)]
    assert screen(samples, 0.0, 0.0).skin_c == 35.6


@pytest.mark.parametrize(("skin_c", "ambient_c"), [(39.5, 22.0), (35.5, 33.0)])
def test_outside_the_fitted_range_the_uncertainty_widens(skin_c: float, ambient_c: float) -> None:
    inside = screen([SkinSample(35.5, 22.0, 0.0)], 0.0, 0.2).uncertainty_c
    outside = screen([SkinSample(skin_c, ambient_c, 0.0)], 0.0, 0.2).uncertainty_c
    assert inside is not None
    assert outside is not None
    assert outside > inside
