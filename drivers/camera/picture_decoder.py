"""Makes upright pictures of what a capture delivers, and refuses damaged ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.imaging.damage import has_filled_band, seams
from models.imaging.errors import PictureDamaged
from models.imaging.jpeg import decode_jpeg
from models.imaging.orientation import Orientation

Image = NDArray[np.uint8]

MOST_PIXELS = 7680 * 4320


class PictureDecoder:
    """Decodes the pictures of one connection in the order of their arrival."""

    def __init__(self, orientation: Orientation) -> None:
        self._orientation = orientation
        self._seams: frozenset[int] = frozenset()

    def from_jpeg(self, data: bytes) -> Image:
        """The picture in a JPEG of the camera. Raises PictureError."""
        return self.from_image(decode_jpeg(data, MOST_PIXELS))

    def from_image(self, image: Image) -> Image:
        """The upright picture of a decoded one. Raises PictureDamaged.

        A step in the colours that the picture before had at the same row belongs to the scene.
        """
        before, self._seams = self._seams, seams(image)
        if has_filled_band(image):
            raise PictureDamaged("a band of the picture was not decoded")
        if self._seams - before:
            raise PictureDamaged("the colours of a part of the picture are shifted")
        return self._orientation.apply(image)
