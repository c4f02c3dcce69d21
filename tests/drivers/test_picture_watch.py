from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivers.picture_watch import PictureFault, PictureWatch

RANDOM = np.random.default_rng(1)


def picture(level: int) -> NDArray[np.uint8]:
    """A small grey picture with sensor noise."""
    return np.clip(RANDOM.normal(level, 3, (120, 160, 3)), 0, 255).astype(np.uint8)


def test_a_still_scene_with_noise_is_well() -> None:
    watch = PictureWatch()
    assert all(watch.judge(picture(128), step / 10) is None for step in range(60))


def test_the_same_picture_for_two_seconds_is_frozen_until_it_changes() -> None:
    watch, still = PictureWatch(), picture(128)
    faults = [watch.judge(still, step / 10) for step in range(25)]
    assert faults == [None] * 20 + [PictureFault.FROZEN] * 5
    assert watch.judge(picture(128), 2.5) is None


def test_a_black_picture_is_a_fault_after_a_second_even_with_noise() -> None:
    watch = PictureWatch()
    assert watch.judge(picture(128), 0.0) is None
    faults = [watch.judge(picture(0), step / 10) for step in range(1, 12)]
    assert faults == [None] * 9 + [PictureFault.BLACK] * 2
    assert watch.judge(picture(20), 1.2) is None


def test_a_dim_picture_with_something_in_it_is_not_black() -> None:
    watch = PictureWatch()
    for step in range(30):
        dim = picture(0)
        dim[40:80, 60:100] = 60
        assert watch.judge(dim, step / 10) is None
