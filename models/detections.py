"""Results of the vision models."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class MaskState(StrEnum):
    """How a mask is worn."""

    CORRECT = "correct"  # nose and mouth covered
    INCORRECT = "incorrect"  # nose or mouth visible, or only the chin covered
    NONE = "none"  # no mask


@dataclass(frozen=True, slots=True)
class MaskScores:
    """Softmax over the three mask states; sums to 1."""

    correct: float
    incorrect: float
    none: float

    @property
    def best(self) -> MaskState:
        """The most probable state."""
        scores = {MaskState.CORRECT: self.correct, MaskState.INCORRECT: self.incorrect, MaskState.NONE: self.none}
        return max(scores, key=scores.__getitem__)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face, in pixels of the input picture: box (x, y, w, h), landmarks (5, 2) float32.

    Landmark order: right eye, left eye, nose, right and left mouth corner (the person's right).
    `mask` is None for a detector without mask states.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: NDArray[np.float32] | None
    mask: MaskScores | None


class FaceDetector(Protocol):
    """Finds faces in one picture. Blocks: call it from one worker thread."""

    @property
    def name(self) -> str: ...

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces in `image` ((h, w, 3) uint8 BGR), best score first."""
        ...
