"""Faces with landmarks from a close-up: the detector sees each face again, in the middle and at the size it knows best.

The landmarks of a face that fills the picture, or is tiny in it, are inaccurate. The close-up has a margin outside the
picture, made of its edge pixels. Several close-ups of different size are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from models.detections import Face, FaceDetector

_FACE_SHARES = (0.32, 0.4, 0.48)  # of the longer side of the face in the side of a close-up
_MARGIN = 0.5  # of the longer side of the picture, where no face was found without it
_NEAR = 0.25  # farthest distance of the same face in a close-up, in its longer sides

Image = NDArray[np.uint8]


def find_faces_closely(detector: FaceDetector, image: Image) -> list[Face]:
    """Faces in `image` ((h, w, 3) uint8 BGR), best score first, with landmarks and mask state from close-ups."""
    faces = detector.detect(image) or _detect_with_margin(detector, image)
    return [_look_closer(detector, image, face) for face in faces]


def _detect_with_margin(detector: FaceDetector, image: Image) -> list[Face]:
    """As `detector.detect`, in the picture with a black margin."""
    margin = round(_MARGIN * max(image.shape[:2]))
    wide = cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    return [_shifted(face, (-margin, -margin)) for face in detector.detect(np.asarray(wide, np.uint8))]


def _look_closer(detector: FaceDetector, image: Image, face: Face) -> Face:
    """`face` with the mean of the landmarks in the close-ups; unchanged if it is not found in any of them."""
    seen = [again for share in _FACE_SHARES if (again := _in_close_up(detector, image, face, share)) is not None]
    points = [again.landmarks for again in seen if again.landmarks is not None]
    if not points:
        return face
    middle = seen[len(seen) // 2]
    return replace(middle, score=face.score, landmarks=np.mean(points, axis=0, dtype=np.float32))


def _in_close_up(detector: FaceDetector, image: Image, face: Face, share: float) -> Face | None:
    longer = max(face.box[2:])
    side = max(2, round(longer / share))
    left, top = (round(middle - side / 2) for middle in _centre(face))
    found = [_shifted(each, (left, top)) for each in detector.detect(_cut(image, left, top, side))]
    return _nearest(found, face, _NEAR * longer)


def _cut(image: Image, left: int, top: int, side: int) -> Image:
    """The square of `side` pixels at (`left`, `top`); edge pixels are repeated outside the picture."""
    height, width = image.shape[:2]
    right, bottom = left + side, top + side
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    beyond = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    return np.asarray(cv2.copyMakeBorder(inside, *beyond, cv2.BORDER_REPLICATE), np.uint8)


def _nearest(faces: Sequence[Face], face: Face, limit_px: float) -> Face | None:
    """The one of `faces` whose centre is nearest to that of `face`, None beyond `limit_px`."""
    centre = _centre(face)
    distance_px, best = min(
        ((float(np.hypot(*(_centre(each) - centre))), each) for each in faces),
        key=lambda pair: pair[0],
        default=(np.inf, None),
    )
    return best if distance_px <= limit_px else None


def _centre(face: Face) -> NDArray[np.float64]:
    x, y, width, height = face.box
    return np.array((x + width / 2, y + height / 2))


def _shifted(face: Face, by: tuple[int, int]) -> Face:
    """`face` moved `by` pixels to the right and down."""
    x, y, width, height = face.box
    landmarks = None if face.landmarks is None else np.asarray(face.landmarks + by, np.float32)
    return replace(face, box=(x + by[0], y + by[1], width, height), landmarks=landmarks)
