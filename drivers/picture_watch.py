"""Notices a camera that still sends, but nothing one can trust: the same picture again and again, or black."""

from __future__ import annotations

import zlib
from enum import Enum

import numpy as np
from numpy.typing import NDArray

FROZEN_S = 2.0
BLACK_S = 1.0
BLACK_MEAN = 4.0
BLACK_STD = 2.0
SAMPLE_EVERY = 16  # 1200 of the pixels of a VGA picture: a few microseconds a frame


class PictureFault(Enum):
    """What is wrong with the picture, as a sentence for staff."""

    FROZEN = "the picture has not changed at all"
    BLACK = "the picture is black: covered, or without light"


class PictureWatch:
    """Judges pictures in the order they come.

    Sensor noise alters some pixels of every real picture, even of a still scene and through JPEG. Content that stays
    equal to the last bit is a buffer sent again: OpenCV and many cameras give the last frame for ever when they hang.
    """

    def __init__(self) -> None:
        self._content = -1
        self._changed_s = 0.0
        self._lit_s: float | None = None

    def judge(self, image: NDArray[np.uint8], at_s: float) -> PictureFault | None:
        """What is wrong by `at_s`, None while nothing is."""
        sample = image[::SAMPLE_EVERY, ::SAMPLE_EVERY]
        content = zlib.crc32(sample.tobytes())
        if content != self._content:
            self._content, self._changed_s = content, at_s
        if self._lit_s is None or sample.mean() >= BLACK_MEAN or sample.std() >= BLACK_STD:
            self._lit_s = at_s
        if at_s - self._lit_s >= BLACK_S:
            return PictureFault.BLACK
        if at_s - self._changed_s >= FROZEN_S:
            return PictureFault.FROZEN
        return None
