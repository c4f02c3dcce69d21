"""The newest camera picture as JPEG: encoded only on request, and once for each frame."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.contract import CameraFrame
from drivers.latest import Latest

JPEG_OPTIONS = (cv2.IMWRITE_JPEG_QUALITY, 70)
LONG_SIDE_PX = 640  # a larger picture would cost the browser more and show people no more of themselves


class CameraJpeg:
    """JPEG of the newest camera frame; nothing is kept beyond the next one."""

    def __init__(self, frames: Latest[CameraFrame]) -> None:
        self._frames = frames
        self._made: tuple[int, bytes] | None = None

    def jpeg(self) -> bytes | None:
        """The newest picture, None before the first."""
        frame = self._frames.value
        if frame is None:
            return None
        if self._made is None or self._made[0] != frame.sequence:
            _, data = cv2.imencode(".jpg", _shown(frame.image), JPEG_OPTIONS)
            self._made = (frame.sequence, data.tobytes())
        return self._made[1]


def _shown(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture, its long side LONG_SIDE_PX at most."""
    scale = LONG_SIDE_PX / max(image.shape[:2])
    if scale >= 1:
        return image
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
