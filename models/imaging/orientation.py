"""How a camera is mounted."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

TURNS = {0: None, 90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True, slots=True)
class Orientation:
    """Makes a picture upright: a turn by `rotate_deg` (a key of TURNS) clockwise, then a mirroring left to right."""

    rotate_deg: int = 0
    flip: bool = False

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The upright picture; `image` itself where there is nothing to do."""
        upright = turned(image, self.rotate_deg)
        return np.asarray(cv2.flip(upright, 1), np.uint8) if self.flip else upright


def turned(image: NDArray[np.uint8], clockwise_deg: int) -> NDArray[np.uint8]:
    """`image` turned clockwise by a key of TURNS."""
    turn = TURNS[clockwise_deg]
    return image if turn is None else np.asarray(cv2.rotate(image, turn), np.uint8)
