"""Detects a camera that delivers unusable pictures: frozen, black or covered."""

from __future__ import annotations

import zlib
from enum import Enum

import numpy as np
from numpy.typing import NDArray

FROZEN_S = 2.0
BLACK_S = 1.0
BLACK_MEAN = 4.0
BLACK_STD = 2.0
SAMPLE_EVERY = 16  # 1200 pixels of a VGA picture; takes a few microseconds a frame
BLOCKED_S = 1.5
BLOCKED_EVERY_S = 0.25  # each check takes 0.2 ms
BLOCKED_DETAIL = 4.2  # measured: palm, vignette and pure noise up to 4.1; an empty entrance 38, at 1/7 of its light 5.4
FINE_COLUMNS, COARSE_COLUMNS = 320, 16


class PictureFault(Enum):
    """Fault of the picture, as a sentence for staff."""

    FROZEN = "the picture has not changed at all"
    BLACK = "the picture is black: covered, or without light"
    BLOCKED = "the picture shows no detail: the lens is covered or fogged"


class PictureCheck:
    """Checks pictures in the order of their arrival.

    Sensor noise changes some pixels of every real picture, even of a still scene and after JPEG. Pictures that are
    equal to the last bit are one buffer sent repeatedly: OpenCV and many cameras repeat the last frame when they hang.
    """

    def __init__(self) -> None:
        self._content = -1
        self._changed_s = 0.0
        self._lit_s: float | None = None
        self._clear_s: float | None = None
        self._detail_checked_s = 0.0

    def judge(self, image: NDArray[np.uint8], at_s: float) -> PictureFault | None:
        """The fault at `at_s` (monotonic seconds), None for none."""
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
        if at_s - self._last_clear_s(image, at_s) >= BLOCKED_S:
            return PictureFault.BLOCKED
        return None

    def _last_clear_s(self, image: NDArray[np.uint8], at_s: float) -> float:
        """Monotonic second of the last picture with detail; measured at most every BLOCKED_EVERY_S."""
        if self._clear_s is None:
            self._clear_s = at_s
        if at_s - self._detail_checked_s >= BLOCKED_EVERY_S:
            self._detail_checked_s = at_s
            if detail(image) >= BLOCKED_DETAIL:
                self._clear_s = at_s
        return self._clear_s


def detail(image: NDArray[np.uint8]) -> float:
    """Amount of detail: the second difference of brightness between coarse blocks, 95th percentile, in grey levels.

    The blocks average out sensor noise, and the smooth glow through a palm has a small second difference. The
    percentile ignores a gap beside a cover: a twentieth of the blocks must contain detail.
    """
    step = max(1, image.shape[1] // FINE_COLUMNS)
    green = image[::step, ::step, 1]
    block = max(1, green.shape[1] // COARSE_COLUMNS)
    rows, columns = green.shape[0] // block, green.shape[1] // block
    blocks = green[: rows * block, : columns * block].reshape(rows, block, columns, block).mean(axis=(1, 3))
    curvature = np.concatenate([np.abs(np.diff(blocks, 2, axis=axis)).ravel() for axis in (0, 1)])
    return float(np.percentile(curvature, 95)) if curvature.size else 0.0
