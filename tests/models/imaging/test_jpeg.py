from __future__ import annotations

import random

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.imaging.damage import has_filled_band, seams
from models.imaging.errors import PictureDamaged, PictureError, PictureTooLarge
from models.imaging.jpeg import MOST_EXTRANEOUS_BYTES, check_jpeg, decode_jpeg, scan_count
from tests.drawn import bare_face
from tests.models.fakes import steady

MOST_PIXELS = 1_000_000
OPTIONS = {
    "baseline": (),
    "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": (cv2.IMWRITE_JPEG_RST_INTERVAL, 8),
}


def jpeg(name: str = "baseline") -> bytes:
    return cv2.imencode(".jpg", bare_face(), OPTIONS[name])[1].tobytes()


@pytest.mark.parametrize("name", OPTIONS)
def test_an_intact_picture_is_decoded_as_by_opencv(name: str) -> None:
    check_jpeg(jpeg(name), MOST_PIXELS)
    assert np.array_equal(decode_jpeg(jpeg(name), MOST_PIXELS), cv2.imdecode(np.frombuffer(jpeg(name), np.uint8), 1))


@pytest.mark.parametrize("name", OPTIONS)
@steady
@given(share=st.floats(0, 0.999))
def test_a_picture_that_is_cut_off_is_damaged_with_or_without_an_end(name: str, share: float) -> None:
    data = jpeg(name)
    cut = data[: int(len(data) * share)]
    for part in (cut, cut + b"\xff\xd9"):
        with pytest.raises(PictureError):
            decode_jpeg(part, MOST_PIXELS)
        with pytest.raises(PictureError):
            check_jpeg(part, MOST_PIXELS)


@pytest.mark.parametrize(("name", "least"), [("baseline", 54), ("restarts", 40)])
def test_most_damage_in_the_middle_is_noticed(name: str, least: int) -> None:
    """Restart markers confine what remains unnoticed to a strip of one row of blocks."""
    rng, noticed = random.Random(1), 0
    for _ in range(60):
        data = bytearray(jpeg(name))
        at = rng.randrange(800, len(data) - 40)
        data[at : at + 16] = rng.randbytes(16)
        try:
            picture = decode_jpeg(bytes(data), MOST_PIXELS)
            noticed += bool(has_filled_band(picture) or seams(picture))
        except PictureDamaged:
            noticed += 1
    assert noticed >= least


@pytest.mark.parametrize("count", [1, MOST_EXTRANEOUS_BYTES])
def test_a_camera_may_send_a_few_bytes_too_many_before_the_end(count: int) -> None:
    data = jpeg()
    assert decode_jpeg(data[:-2] + bytes(count) + data[-2:], MOST_PIXELS).shape == (480, 640, 3)
    with pytest.raises(PictureDamaged, match="extraneous"):
        decode_jpeg(data[:-2] + bytes(MOST_EXTRANEOUS_BYTES + 8) + data[-2:], MOST_PIXELS)


def test_size_and_scans_are_limited_before_decoding() -> None:
    with pytest.raises(PictureTooLarge, match="640 x 480 pixels exceed"):
        decode_jpeg(jpeg(), 640 * 479)
    progressive = jpeg("progressive")
    assert (scan_count(jpeg()), scan_count(jpeg("restarts"))) == (1, 1)
    scans = scan_count(progressive)
    assert 2 <= scans <= 12
    assert scan_count(progressive + jpeg() * 100) == scans
    last = progressive[progressive.rfind(b"\xff\xda") : -2]
    with pytest.raises(PictureTooLarge, match="scans"):
        decode_jpeg(progressive[:-2] + last * 100 + b"\xff\xd9", MOST_PIXELS)


@pytest.mark.parametrize("colour", [(128, 128, 128), (0, 135, 0)])
def test_a_picture_of_one_colour_has_no_band(colour: tuple[int, int, int]) -> None:
    picture = np.full((240, 320, 3), colour, np.uint8)
    assert not has_filled_band(picture)
    picture[:100] = 60
    assert has_filled_band(picture)
