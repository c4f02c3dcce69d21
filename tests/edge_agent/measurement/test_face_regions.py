"""What a thermal array shows of a face, and what it is too coarse to show."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_agent.measurement.camera_to_thermal import CameraToThermal
from edge_agent.measurement.face_regions import face_regions

WHOLE = CameraToThermal()
MIDDLE = (0.4, 0.4, 0.2, 0.2)
EYES = ((0.42, 0.45), (0.58, 0.45))


def room(
    at: tuple[int, int] | None = None, skin_c: float = 35.5, shape: tuple[int, int] = (24, 32)
) -> NDArray[np.float32]:
    pixels = np.full(shape, 24.0, np.float32)
    if at:
        pixels[at] = skin_c
    return pixels


def test_the_warmest_pixel_under_the_face_counts() -> None:
    assert face_regions(room((12, 16)), MIDDLE, WHOLE, None) == {"face_max": pytest.approx(35.5)}


def test_a_warm_thing_beside_the_face_does_not_count() -> None:
    assert face_regions(room((2, 2), 60.0), MIDDLE, WHOLE, None) == {}


def test_the_array_may_see_a_part_of_the_picture_only() -> None:
    covers = CameraToThermal.over((0.5, 0.5, 0.5, 0.5))
    assert face_regions(room((0, 0)), (0.5, 0.5, 0.02, 0.02), covers, None) == {"face_max": pytest.approx(35.5)}
    assert face_regions(room((0, 0)), (0.1, 0.1, 0.1, 0.1), covers, None) == {}


def test_a_coarse_array_has_no_canthi() -> None:
    assert "canthi_max" not in face_regions(np.full((24, 32), 35.0, np.float32), (0.2, 0.1, 0.6, 0.8), WHOLE, EYES)


def test_the_forehead_is_the_upper_third_without_the_temples() -> None:
    face = (0.25, 0.0, 0.5, 1.0)  # 16 columns from the 8th, 24 rows
    pixels = np.full((24, 32), 34.0, np.float32)
    pixels[4, 16], pixels[4, 9], pixels[15, 16] = 35.0, 37.0, 36.0
    assert face_regions(pixels, face, WHOLE, None) == {"face_max": 37.0, "forehead_max": 35.0}


def test_a_fine_array_shows_the_inner_corner_of_the_eye() -> None:
    pixels = np.full((240, 320), 34.0, np.float32)
    pixels[108, 147], pixels[150, 160] = 35.4, 36.5  # a quarter of the way from the right eye to the left; the mouth
    found = face_regions(pixels, (0.3, 0.2, 0.4, 0.6), WHOLE, EYES)
    assert found["canthi_max"] == pytest.approx(35.4)
    assert found["face_max"] == pytest.approx(36.5)


def test_eyes_out_of_the_array_give_no_canthi() -> None:
    covers = CameraToThermal.over((0.0, 0.5, 1.0, 0.5))
    found = face_regions(np.full((240, 320), 35.0, np.float32), (0.3, 0.2, 0.4, 0.6), covers, ((0.4, 0.3), (0.6, 0.3)))
    assert found.keys() == {"face_max"}
