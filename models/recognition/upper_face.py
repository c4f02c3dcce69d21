"""The vector by which a masked face is compared: mostly its upper half, the same with and without a mask.

The network was trained on whole faces. Below the eyes the aligned crop is covered by one colour, at registering as at
the gate, so that the mask does not count. The vector of the whole face, as it is, is appended with a smaller weight,
and an affine map turns down what differs between masks (models/CARD.md).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelDamaged
from models.recognition.alignment import align_upper_face
from models.recognition.embedding import Embedder, unit

_WHOLE_WEIGHT = 0.5  # 0.3 to 1 measured alike on drawn masks


class UpperFaceEmbedder:
    """A `FaceEmbedder` of upper halves over the network of `whole`; its vectors compare only with each other.

    `affine` is (1 + n, n) float32 for n = 2 * dimensions: the mean of the vectors, below it the matrix applied to the
    difference. Raises ModelDamaged for another shape.
    """

    def __init__(self, name: str, threshold: float, whole: Embedder, affine: NDArray[np.float32]) -> None:
        length = 2 * whole.dimensions
        if affine.shape != (1 + length, length):
            raise ModelDamaged(f"'{name}' does not fit the embedding '{whole.name}': its shape is {affine.shape}")
        self.name = name
        self.threshold = threshold
        self._whole = whole
        self._mean, self._matrix = affine[0], affine[1:]

    def embed(self, image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """The unit vector, twice as long as that of the whole face, of the face with `landmarks` (5, 2) in `image`."""
        return unit((upper_features(self._whole, image, landmarks) - self._mean) @ self._matrix)


def upper_features(whole: Embedder, image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """The (2 * dimensions,) vector before the map: of the whole face, weighted, and of its upper half."""
    upper = unit(whole.features(align_upper_face(image, landmarks)))
    return np.concatenate((_WHOLE_WEIGHT * whole.embed(image, landmarks), upper))


def read_affine(path: Path) -> NDArray[np.float32]:
    """The map in the .npy file `path`. Raises ModelDamaged."""
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float32)
    except (OSError, EOFError, ValueError) as exc:
        raise ModelDamaged(f"{path} is not a usable map of vectors: {exc}") from exc
