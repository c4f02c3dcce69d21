"""Aligns a face by its landmarks for the recognition networks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE_PX = 112
#: landmarks of a frontal face in the aligned crop, in the order of `Face.landmarks`; source: ArcFace
_TEMPLATE = np.array(
    ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
)


def align_face(image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(112, 112, 3) uint8: the face rotated, scaled and shifted to fit the template; black outside the picture."""
    return np.asarray(cv2.warpAffine(image, similarity(landmarks), (SIDE_PX, SIDE_PX)), np.uint8)


def similarity(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """The (2, 3) similarity transform from `landmarks` to the template, by least squares.

    With points as complex numbers, one complex factor is both rotation and scale.
    """
    here, there = _complex(landmarks), _complex(_TEMPLATE)
    centre, target = here.mean(), there.mean()
    spread = here - centre
    factor = np.vdot(spread, there - target) / max(float(np.vdot(spread, spread).real), 1e-9)
    shift = target - factor * centre
    return np.array(((factor.real, -factor.imag, shift.real), (factor.imag, factor.real, shift.imag)))


def _complex(points: NDArray[np.floating]) -> NDArray[np.complex128]:
    return points[:, 0] + 1j * points[:, 1].astype(np.float64)
