"""A second look at each face: a small network classifies the mask on the full-resolution picture.

A 32 px face has 16 px in the input of the detector and 45 px in that of this network. The probabilities of both are
multiplied; each alone is less accurate (models/CARD.md).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.detections import Face, FaceDetector, MaskScores
from models.detectors.face_crop import face_crop
from models.errors import ModelDamaged
from models.session import OnnxSession

_OUTPUT = "states"
_FLOOR = 1e-6  # keeps a state possible that the detector excludes
_SURE_FROM = 0.9  # from this probability no second look: 63 % of the held-out faces, no metric worse


class SecondLook:
    """`detector`, with its uncertain mask states classified again in one run of `session`.

    Input (n, 3, 80, 80) float32 BGR 0..255, output `states` (n, 3): correct, incorrect, none. Raises ModelDamaged.
    """

    def __init__(self, detector: FaceDetector, session: OnnxSession) -> None:
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
        unsure = [number for number, face in enumerate(faces) if not _is_sure(face.mask)]
        if unsure:
            crops = np.stack([face_crop(image, faces[number].box) for number in unsure])
            blob = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32)
            states = self._session.run({self._input: blob})[_OUTPUT]
            for number, row in zip(unsure, states, strict=True):
                faces[number] = replace(faces[number], mask=_combined(faces[number].mask, row))
        return faces


def _is_sure(mask: MaskScores | None) -> bool:
    return mask is not None and max(mask.correct, mask.incorrect, mask.none) >= _SURE_FROM


def _combined(first: MaskScores | None, second: NDArray[np.float32]) -> MaskScores:
    """The geometric mean of both probabilities, normalised."""
    mixed = np.asarray(second, np.float64)
    if first is not None:
        mixed = np.sqrt(mixed * (np.array((first.correct, first.incorrect, first.none)) + _FLOOR))
    mixed = mixed / mixed.sum()
    return MaskScores(float(mixed[0]), float(mixed[1]), float(mixed[2]))
