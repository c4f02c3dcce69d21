"""A second look at each face found: a small network judges the mask on the full-resolution picture.

The detector sees a 32 px face on 16 px of its input, this one on 45. The answers are multiplied: either alone is worse
(models/CARD.md).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.detections import Face, FaceDetector, MaskScores
from models.errors import ModelDamaged
from models.face_crop import face_crop
from models.session import Session

_OUTPUT = "states"
_LEAST = 1e-6  # a state that one network excludes is not lost for the other


class SecondLook:
    """`detector`, with the mask of all its faces judged again in one run of `session`.

    Input (n, 3, 80, 80) float32 BGR 0..255, output `states` (n, 3): correct, incorrect, none. Raises ModelDamaged.
    """

    def __init__(self, detector: FaceDetector, session: Session) -> None:
        if _OUTPUT not in {port.name for port in session.outputs}:
            raise ModelDamaged(f"not a network for a second look at masks: it has no output {_OUTPUT}")
        self._detector = detector
        self._session = session
        self._input = session.inputs[0].name

    @property
    def name(self) -> str:
        return self._detector.name

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces in `image` ((h, w, 3) uint8 BGR), best score first."""
        faces = self._detector.detect(image)
        if not faces:
            return faces
        crops = np.stack([face_crop(image, face.box) for face in faces]).transpose(0, 3, 1, 2).astype(np.float32)
        states = self._session.run({self._input: crops})[_OUTPUT]
        return [replace(face, mask=_joined(face.mask, row)) for face, row in zip(faces, states, strict=True)]


def _joined(first: MaskScores | None, second: NDArray[np.float32]) -> MaskScores:
    """The geometric mean of both answers."""
    mixed = np.asarray(second, np.float64)
    if first is not None:
        mixed = np.sqrt(mixed * (np.array((first.correct, first.incorrect, first.none)) + _LEAST))
    mixed = mixed / mixed.sum()
    return MaskScores(float(mixed[0]), float(mixed[1]), float(mixed[2]))
