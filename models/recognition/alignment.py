"""Aligns a face by its landmarks for the recognition networks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE_PX = 112
COVERED_FROM_ROW = 66  # of the aligned crop: below the eyes, above the upper edge of most masks
_COVER_BGR = (128, 128, 128)
EQUAL = (1.0, 1.0, 1.0, 1.0, 1.0)
#: of the landmarks of an upper half: under a mask, nose and mouth are guesses
_UPPER_WEIGHTS = (1.0, 1.0, 0.5, 0.25, 0.25)
#: landmarks of a frontal face in the aligned crop, in the order of `Face.landmarks`; source: ArcFace
_TEMPLATE = np.array(
    ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
)


def align_face(
    image: NDArray[np.uint8], landmarks: NDArray[np.float32], weights: Sequence[float] = EQUAL
) -> NDArray[np.uint8]:
    """(112, 112, 3) uint8: the face rotated, scaled and shifted to fit the template; black outside the picture."""
    return np.asarray(cv2.warpAffine(image, similarity(landmarks, weights), (SIDE_PX, SIDE_PX)), np.uint8)


def align_upper_face(image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """As `align_face`, mostly by the eyes; below them one colour, so that a mask does not change the crop."""
    crop = align_face(image, landmarks, _UPPER_WEIGHTS)
    crop[COVERED_FROM_ROW:] = _COVER_BGR
    return crop


def similarity(landmarks: NDArray[np.float32], weights: Sequence[float] = EQUAL) -> NDArray[np.float64]:
    """The (2, 3) similarity transform from `landmarks` to the template, by least squares with a weight each.

    With points as complex numbers, one complex factor is both rotation and scale.
    """
    here, there, share = _complex(landmarks), _complex(_TEMPLATE), np.array(weights) / sum(weights)
    centre, target = share @ here, share @ there
    spread = here - centre
    factor = np.vdot(spread, share * (there - target)) / max(float(np.vdot(spread, share * spread).real), 1e-9)
    shift = target - factor * centre
    return np.array(((factor.real, -factor.imag, shift.real), (factor.imag, factor.real, shift.imag)))


def _complex(points: NDArray[np.floating]) -> NDArray[np.complex128]:
    return points[:, 0] + 1j * points[:, 1].astype(np.float64)
