"""The newest camera picture as JPEG: made only when somebody asks, and once a frame."""

from __future__ import annotations

import cv2

from drivers.contract import CameraFrame
from drivers.latest import Latest

_QUALITY = 70


class LivePicture:
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
            _, data = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            self._made = (frame.sequence, data.tobytes())
        return self._made[1]
