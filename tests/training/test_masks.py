"""Where drawn masks sit on a face."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.training.augment import similarity
from models.training.data import Floats
from models.training.masks import CORRECT, INCORRECT, Wardrobe, corners, frame, hide, placement, wear
from tests.training.drawn import FACE, scene

POINTS = np.array(FACE["landmarks"], np.float32)


def inside(quad: Floats, point: Floats) -> bool:
    """Is `point` within the convex `quad` given clockwise in picture coordinates?"""
    edges = np.roll(quad, -1, 0) - quad
    to = point - quad
    return bool((edges[:, 0] * to[:, 1] - edges[:, 1] * to[:, 0] > 0).all())


turned = st.builds(
    lambda scale, degrees: similarity(np.array([50, 50]), scale, degrees, False, np.array([90, 70])),
    st.floats(0.5, 4),
    st.floats(-60, 60),
)


@settings(max_examples=60)
@given(turned, st.integers(0, 10_000))
def test_proper_covers_nose_and_mouth_low_leaves_the_nose_out(matrix: Floats, seed: int) -> None:
    points = (POINTS @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    face = frame(points)
    assert face is not None
    rng = np.random.default_rng(seed)
    proper = placement(face, rng, low=False)
    quad = corners(face, proper)
    assert proper.state == CORRECT
    assert all(inside(quad, p) for p in points[2:])
    low = placement(face, rng, low=True)
    assert low.state == INCORRECT
    assert not inside(corners(face, low), points[2])
    assert low.top > face.nose_down


def test_missing_and_side_landmarks_are_not_dressed() -> None:
    assert frame(np.full((5, 2), np.nan, np.float32)) is None
    profile = POINTS.copy()
    profile[:, 0] = 50 + (profile[:, 0] - 50) * 0.2
    assert frame(profile) is None
    upside_down = POINTS[[1, 0, 2, 4, 3]]
    assert frame(upside_down) is None


@pytest.mark.parametrize("low", [False, True])
def test_wear_draws_on_the_lower_face_only(wardrobe: Wardrobe, low: bool) -> None:
    image = scene(1)
    before = image.copy()
    state = wear(image, POINTS, wardrobe, np.random.default_rng(2), low)
    assert state == (INCORRECT if low else CORRECT)
    changed = np.nonzero((image != before).any(2))
    assert len(changed[0]) > 100
    # a mask covers the mouth or lies below it; the eyes stay free but for ear loops at the sides
    assert np.array_equal(image[30:40, 38:62], before[30:40, 38:62])


def test_same_seed_same_picture(wardrobe: Wardrobe) -> None:
    one, two = scene(1), scene(1)
    for image in (one, two):
        wear(image, POINTS, wardrobe, np.random.default_rng(9), low=True)
        hide(image, POINTS, np.random.default_rng(9))
    assert np.array_equal(one, two)


def test_a_face_outside_the_picture_is_left_alone(wardrobe: Wardrobe) -> None:
    image = scene(1)
    before = image.copy()
    assert wear(image, POINTS + 500, wardrobe, np.random.default_rng(2), low=False) is None
    assert np.array_equal(image, before)
