"""Detects a camera that delivers unusable pictures: frozen, black, covered, or often damaged."""

from __future__ import annotations

from collections import deque
from enum import Enum

import numpy as np
from numpy.typing import NDArray

FROZEN_S = 2.0
BLACK_S = 1.0
BLACK_MEAN = 4.0
BLACK_STD = 2.0
SAMPLE_EVERY = 8  # 4,800 pixels of a VGA picture; takes 0.05 ms a frame
TILE_ROWS, TILE_COLUMNS = 6, 8
LEAST_CHANGING = 1 / 8  # of the tiles; a clock and a name written into the picture are in fewer
PREDICTED_FROZEN_S = 12.0  # H.264 copies still parts until the next whole picture, 10 s apart at most
DAMAGE_WINDOW = 30  # pictures
MANY_DAMAGED, FEW_DAMAGED = 6, 2
BLOCKED_S = 1.5
BLOCKED_EVERY_S = 0.25  # each check takes 0.2 ms
BLOCKED_DETAIL = 4.2  # measured: palm, vignette and pure noise up to 4.1; an empty entrance 38, at 1/7 of its light 5.4
FINE_COLUMNS, COARSE_COLUMNS = 320, 16


class PictureFault(Enum):
    """Fault of the picture, as a sentence for staff."""

    FROZEN = "the picture has not changed at all"
    DAMAGED = "many pictures are damaged: check the cable, the power supply and the network of the camera"
    BLACK = "the picture is black: covered, or without light"
    BLOCKED = "the picture shows no detail: the lens is covered or fogged"


class PictureCheck:
    """Checks pictures in the order of their arrival.

    Sensor noise changes some pixels of nearly every part of a real picture, even of a still scene and after JPEG. Parts
    that are equal to the last bit are one buffer sent repeatedly: OpenCV and many cameras repeat the last frame when
    they hang. A camera may write its running clock into that frame, so a few parts may change.
    """

    def __init__(self) -> None:
        self._sample: NDArray[np.uint8] | None = None
        self._changed_s = np.zeros((TILE_ROWS, TILE_COLUMNS))
        self._lit_s: float | None = None
        self._clear_s: float | None = None
        self._detail_checked_s = 0.0

    def judge(self, image: NDArray[np.uint8], at_s: float, *, predicted: bool = False) -> PictureFault | None:
        """The fault at `at_s` (monotonic seconds), None for none.

        `predicted`: the codec copies still parts from the picture before, so that only a whole picture equal to the
        one before is suspicious at once.
        """
        sample = image[::SAMPLE_EVERY, ::SAMPLE_EVERY]
        self._note_changes(sample, at_s)
        if self._lit_s is None or sample.mean() >= BLACK_MEAN or sample.std() >= BLACK_STD:
            self._lit_s = at_s
        if at_s - self._lit_s >= BLACK_S:
            return PictureFault.BLACK
        if self._is_frozen(at_s, PREDICTED_FROZEN_S if predicted else FROZEN_S):
            return PictureFault.FROZEN
        if at_s - self._last_clear_s(image, at_s) >= BLOCKED_S:
            return PictureFault.BLOCKED
        return None

    def _note_changes(self, sample: NDArray[np.uint8], at_s: float) -> None:
        before, self._sample = self._sample, sample.copy()
        if before is None or before.shape != sample.shape:
            self._changed_s[:] = at_s
            return
        rows, columns = np.nonzero((before != sample).any(axis=2))
        height, width = sample.shape[:2]
        self._changed_s[rows * TILE_ROWS // height, columns * TILE_COLUMNS // width] = at_s

    def _is_frozen(self, at_s: float, mostly_limit_s: float) -> bool:
        still_s = at_s - self._changed_s
        return bool(still_s.min() >= FROZEN_S or (still_s < mostly_limit_s).mean() < LEAST_CHANGING)

    def _last_clear_s(self, image: NDArray[np.uint8], at_s: float) -> float:
        """Monotonic second of the last picture with detail; measured at most every BLOCKED_EVERY_S."""
        if self._clear_s is None:
            self._clear_s = at_s
        if at_s - self._detail_checked_s >= BLOCKED_EVERY_S:
            self._detail_checked_s = at_s
            if detail(image) >= BLOCKED_DETAIL:
                self._clear_s = at_s
        return self._clear_s


class DamageShare:
    """Decides whether too many of the last pictures were damaged; ends only when few are."""

    def __init__(self) -> None:
        self._last: deque[bool] = deque(maxlen=DAMAGE_WINDOW)
        self._high = False

    def is_high(self, *, damaged: bool) -> bool:
        """Add one picture; returns whether too many of the last DAMAGE_WINDOW are damaged."""
        self._last.append(damaged)
        count = sum(self._last)
        self._high = count > FEW_DAMAGED if self._high else count >= MANY_DAMAGED
        return self._high


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
