from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.imaging.errors import NotAPicture, PictureDamaged, PictureError
from models.imaging.header import check_whole, picture_size
from tests.models.fakes import steady

KINDS = [".jpg", ".png", ".webp", ".bmp", ".gif"]
HEADS = {b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF....WEBPVP8 ", b"RIFF....WEBPVP8X", b"BM", b"GIF89a", b"BM  ftyp"}


def encoded(kind: str, width: int = 40, height: int = 30) -> bytes:
    picture = np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return cv2.imencode(kind, picture)[1].tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_in_the_header_is_the_decoded_one(kind: str) -> None:
    check_whole(encoded(kind))
    assert picture_size(encoded(kind)) == (40, 30)


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_that_is_cut_off_is_refused(kind: str) -> None:
    data = encoded(kind)
    for length in range(10):
        with pytest.raises(PictureError):
            picture_size(data[:length])


@steady
@given(st.sampled_from(sorted(HEADS)), st.binary(max_size=60))
def test_any_head_is_read_or_refused(head: bytes, rest: bytes) -> None:
    try:
        size = picture_size(head + rest)
        check_whole(head + rest)
    except PictureError:
        return
    assert min(size) > 0


@steady
@given(st.sampled_from([".png", ".webp", ".bmp"]), st.integers(0, 10_000))
def test_no_cut_picture_counts_as_whole(kind: str, length: int) -> None:
    data = encoded(kind)
    with pytest.raises(PictureError):
        check_whole(data[: length % len(data)])


@pytest.mark.parametrize("head", [b"BM\x00\x00", b"\xff\xd8\xff\xe0"])
def test_the_head_of_one_kind_with_the_mark_of_another_is_refused(head: bytes) -> None:
    with pytest.raises(NotAPicture):
        picture_size(head + b"ftypavif" + bytes(40))


def test_a_png_with_a_flipped_bit_is_damaged() -> None:
    data = bytearray(encoded(".png"))
    data[len(data) // 2] ^= 1
    with pytest.raises(PictureDamaged, match="checksum"):
        check_whole(bytes(data))
