"""Fits a picture into the input of a network without distortion, and maps coordinates back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

#: largest stride of the networks; both sides of an input are multiples of it
STRIDE_PX = 32


@dataclass(frozen=True, slots=True)
class Letterbox:
    """A picture scaled into the top left corner of a `width` x `height` input; the rest is black."""

    picture_width: int
    picture_height: int
    fit_width: int
    fit_height: int
    width: int
    height: int

    @classmethod
    def fit(cls, picture_width: int, picture_height: int, size: int) -> Letterbox:
        """Long side at most `size`, input the smallest rectangle of whole strides: 640x480 at 320 gives 320x256."""
        scale = _whole_strides(size) / max(picture_width, picture_height)
        fit_width = max(1, round(picture_width * scale))
        fit_height = max(1, round(picture_height * scale))
        return cls(picture_width, picture_height, fit_width, fit_height, _padded(fit_width), _padded(fit_height))

    @classmethod
    def into(cls, picture_width: int, picture_height: int, width: int, height: int) -> Letterbox:
        """The same for an input of fixed size."""
        scale = min(width / picture_width, height / picture_height)
        fit_width = min(width, max(1, round(picture_width * scale)))
        fit_height = min(height, max(1, round(picture_height * scale)))
        return cls(picture_width, picture_height, fit_width, fit_height, width, height)

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(picture_height, picture_width, 3) to (height, width, 3), both uint8 BGR."""
        shrinks = self.fit_width < self.picture_width
        # averaging preserves small faces; bilinear interpolation would skip pixels
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        canvas = np.zeros((self.height, self.width, 3), np.uint8)
        cv2.resize(
            picture,
            (self.fit_width, self.fit_height),
            dst=canvas[: self.fit_height, : self.fit_width],
            interpolation=how,
        )
        return canvas

    def points_to_picture(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert points (..., 2) of the input to the picture."""
        return points * np.array(self._scale_to_picture, np.float32)

    def boxes_to_picture(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert boxes (n, 4) left, top, right, bottom of the input to the picture, clipped at its edges."""
        edges = np.array((self.picture_width, self.picture_height) * 2, np.float32)
        return np.clip(boxes * np.array(self._scale_to_picture * 2, np.float32), 0, edges)

    @property
    def _scale_to_picture(self) -> tuple[float, float]:
        return self.picture_width / self.fit_width, self.picture_height / self.fit_height


def _whole_strides(pixels: int) -> int:
    return max(STRIDE_PX, pixels // STRIDE_PX * STRIDE_PX)


def _padded(pixels: int) -> int:
    return -(-pixels // STRIDE_PX) * STRIDE_PX
