from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.camera.picture_check import BLOCKED_DETAIL, DamageShare, PictureCheck, PictureFault, detail
from drivers.camera.picture_decoder import PictureDecoder
from drivers.simulated.devices.camera import PALM
from drivers.simulated.people.person_image import Entrance
from models.imaging.errors import PictureDamaged
from models.imaging.orientation import Orientation

RANDOM = np.random.default_rng(1)


def picture(level: int, door: int = 40, noise: float = 3) -> NDArray[np.uint8]:
    """A small grey picture with sensor noise, of a wall with a door."""
    scene = RANDOM.normal(level, noise, (120, 160, 3))
    scene[30:, 50:90] += min(door, level)
    return np.clip(scene, 0, 255).astype(np.uint8)


def noisy(scene: NDArray[np.uint8], noise: float) -> NDArray[np.uint8]:
    return np.clip(scene + RANDOM.normal(0, noise, scene.shape), 0, 255).astype(np.uint8)


def test_a_still_scene_with_noise_is_ok() -> None:
    watch = PictureCheck()
    assert all(watch.judge(picture(128), step / 10) is None for step in range(60))


def test_the_same_picture_for_two_seconds_is_frozen_until_it_changes() -> None:
    watch, still = PictureCheck(), picture(128)
    faults = [watch.judge(still, step / 10) for step in range(25)]
    assert faults == [None] * 20 + [PictureFault.FROZEN] * 5
    assert watch.judge(picture(128), 2.5) is None


def clocked(still: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """`still` with another pattern in its corner at every step."""
    shown = still.copy()
    shown[4:12, 4:40] = np.random.default_rng(step).integers(0, 255, (8, 36, 3), dtype=np.uint8)
    return shown


def test_a_frozen_picture_with_a_running_clock_is_frozen() -> None:
    watch, still = PictureCheck(), picture(128)
    faults = [watch.judge(clocked(still, step), step / 10) for step in range(25)]
    assert faults == [None] * 20 + [PictureFault.FROZEN] * 5
    assert watch.judge(picture(128), 2.5) is None


def test_a_codec_that_copies_still_parts_may_do_so_until_its_next_whole_picture() -> None:
    watch, still = PictureCheck(), picture(128)
    faults = [watch.judge(clocked(still, step), step / 10, predicted=True) for step in range(125)]
    assert faults == [None] * 120 + [PictureFault.FROZEN] * 5


def test_a_person_who_moves_before_a_still_wall_is_no_clock() -> None:
    watch, still = PictureCheck(), picture(128)
    for step in range(60):
        seen = still.copy()
        seen[40:, 60:110] = np.random.default_rng(step).integers(0, 255, (80, 50, 3), dtype=np.uint8)
        assert watch.judge(seen, step / 10) is None


def test_many_damaged_pictures_are_a_fault_until_they_are_few() -> None:
    share = DamageShare()
    assert not any(share.is_high(damaged=step % 10 == 0) for step in range(100))
    faults = [share.is_high(damaged=step % 2 == 0) for step in range(12)]
    assert (faults[0], faults[-1]) == (False, True)
    recovered = [share.is_high(damaged=False) for _ in range(30)]
    assert (recovered[0], recovered[-1]) == (True, False)


@pytest.mark.parametrize(("damaged", "is_high"), [(5, False), (6, True)])
def test_six_of_thirty_damaged_pictures_are_many(damaged: int, is_high: bool) -> None:
    share = DamageShare()
    pictures = [step % 5 == 0 and step < 5 * damaged for step in range(30)]
    assert [share.is_high(damaged=each) for each in pictures][-1] is is_high


def test_many_end_with_two_of_the_last_thirty() -> None:
    share = DamageShare()
    assert [share.is_high(damaged=True) for _ in range(6)] == [False] * 5 + [True]
    found = [share.is_high(damaged=False) for _ in range(30)]  # after 24 + n of them, 6 - n are left
    assert found.index(False) == 27


def test_a_seam_is_damage_unless_the_scene_had_it() -> None:
    scene = np.random.default_rng(1).normal(60, 2, (480, 640, 3)).clip(0, 255).astype(np.uint8)
    shifted = scene.copy()
    shifted[240:] += 80
    decoder = PictureDecoder(Orientation())
    assert decoder.from_image(scene) is scene
    for _ in range(2):
        with pytest.raises(PictureDamaged, match="shifted"):
            decoder.from_image(shifted)
        assert decoder.from_image(shifted) is shifted
        assert decoder.from_image(scene) is scene


def test_a_black_picture_is_a_fault_after_a_second_even_with_noise() -> None:
    watch = PictureCheck()
    assert watch.judge(picture(128), 0.0) is None
    faults = [watch.judge(picture(0), step / 10) for step in range(1, 12)]
    assert faults == [None] * 9 + [PictureFault.BLACK] * 2
    assert watch.judge(picture(20), 1.2) is None


def test_a_dim_picture_with_something_in_it_is_not_black() -> None:
    watch = PictureCheck()
    for step in range(30):
        dim = picture(0)
        dim[40:80, 60:100] = 60
        assert watch.judge(dim, step / 10) is None


@pytest.mark.parametrize("noise", [1, 4, 12])
def test_a_palm_on_the_lens_blocks_it_until_it_is_taken_away(noise: float) -> None:
    watch, scene = PictureCheck(), Entrance(seed=1).view(None, None)
    assert watch.judge(noisy(scene, noise), 0.0) is None
    faults = [watch.judge(noisy(PALM, noise), step / 10) for step in range(1, 20)]
    assert PictureFault.BLOCKED not in faults[:14]
    assert set(faults[17:]) == {PictureFault.BLOCKED}
    assert None in [watch.judge(noisy(scene, noise), 2 + step / 10) for step in range(4)]


@pytest.mark.parametrize("noise", [1, 4, 12])
@pytest.mark.parametrize("size", [(240, 320), (480, 640), (1080, 1920)])
def test_a_plain_wall_without_anything_is_blocked_at_any_size(noise: float, size: tuple[int, int]) -> None:
    assert detail(noisy(np.full((*size, 3), 120, np.uint8), noise)) < BLOCKED_DETAIL


@pytest.mark.parametrize("seed", range(3))
def test_an_empty_entrance_is_clear_by_day_in_dusk_and_in_fog(seed: int) -> None:
    scene = Entrance(seed).view(None, None)
    for seen in (scene, scene * 0.2, scene * 0.2 + 120):
        assert detail(noisy(seen.astype(np.uint8), 3)) > BLOCKED_DETAIL


def test_a_picture_too_small_for_blocks_has_no_detail() -> None:
    assert detail(np.zeros((2, 2, 3), np.uint8)) == 0
