"""The newest camera picture as JPEG: encoded only on request, and once for each frame."""

from __future__ import annotations

import cv2

from drivers.contract import CameraFrame
from drivers.latest import Latest
from models.picture import shrink

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
            _, data = cv2.imencode(".jpg", shrink(frame.image, LONG_SIDE_PX), JPEG_OPTIONS)
            self._made = (frame.sequence, data.tobytes())
        return self._made[1]
