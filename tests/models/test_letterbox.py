from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.detectors.letterbox import Letterbox
from tests.models.fakes import steady

sides = st.integers(8, 3000)
sizes = st.sampled_from((160, 256, 320, 640))


@pytest.mark.parametrize(
    ("picture", "expected"),
    [((640, 480), (320, 256)), ((1280, 720), (320, 192)), ((480, 640), (256, 320)), ((100, 100), (320, 320))],
)
def test_input_is_the_smallest_rectangle_of_whole_strides(picture: tuple[int, int], expected: tuple[int, int]) -> None:
    plan = Letterbox.fit(*picture, 320)
    assert (plan.width, plan.height) == expected


@steady
@given(sides, sides, sizes)
def test_picture_fits_and_keeps_its_shape(width: int, height: int, size: int) -> None:
    plan = Letterbox.fit(width, height, size)
    assert max(plan.fit_width, plan.fit_height) == size
    assert plan.fit_width <= plan.width <= size
    assert plan.fit_height <= plan.height <= size
    assert plan.width % 32 == plan.height % 32 == 0
    scale = size / max(width, height)
    assert abs(plan.fit_width - width * scale) <= 1
    assert abs(plan.fit_height - height * scale) <= 1


@steady
@given(sides, sides, st.integers(1, 20), st.integers(1, 20))
def test_fixed_input_holds_the_whole_picture(width: int, height: int, columns: int, rows: int) -> None:
    plan = Letterbox.into(width, height, columns * 32, rows * 32)
    assert (plan.width, plan.height) == (columns * 32, rows * 32)
    assert plan.fit_width <= plan.width
    assert plan.fit_height <= plan.height


@steady
@given(sides, sides, sizes, st.floats(0, 1), st.floats(0, 1))
def test_a_point_finds_its_way_back(width: int, height: int, size: int, across: float, down: float) -> None:
    plan = Letterbox.fit(width, height, size)
    there = np.array([[across * plan.fit_width, down * plan.fit_height]], np.float32)
    back = plan.points_to_picture(there)[0]
    assert back == pytest.approx((across * width, down * height), rel=1e-5, abs=1e-2)


@steady
@given(sides, sides, st.tuples(*[st.floats(-500, 500)] * 4))
def test_boxes_are_cut_at_the_edges_of_the_picture(width: int, height: int, box: tuple[float, ...]) -> None:
    left, top, right, bottom = Letterbox.fit(width, height, 320).boxes_to_picture(np.array([box], np.float32))[0]
    assert 0 <= min(left, right) <= max(left, right) <= width
    assert 0 <= min(top, bottom) <= max(top, bottom) <= height


def test_a_mark_lands_where_the_plan_says_and_the_rest_is_black() -> None:
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[200:220, 400:440] = 255
    plan = Letterbox.fit(640, 480, 320)
    small = plan.apply(picture)
    assert small.shape == (256, 320, 3)
    rows, columns = np.nonzero(small[:, :, 0])
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (200, 219, 100, 109)
    assert not small[240:].any()
