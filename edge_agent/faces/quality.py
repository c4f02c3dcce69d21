"""Checks whether the quality of a face is sufficient for recognition; each flaw says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from models.detections import Face, MaskState
from models.recognition.alignment import align_face

#: minimum distance of the eyes in pixels; it is 35 in the aligned crop
GATE_EYES_PX = 24.0
REGISTER_EYES_PX = 35.0

_TURNED = 0.28  # horizontal offset of the nose from the middle of the eyes, in eye distances
_NODDED = (0.4, 0.8)  # height of the nose below the eyes, as a share of the distance to the mouth
_TILTED = 0.5  # radians
_DARK, _BRIGHT, _FLAT = 45.0, 215.0, 18.0  # mean and spread of the crop's grey levels
_SOFT = 12.0  # variance of the crop's Laplacian


class Flaw(Enum):
    """A flaw of a picture of a face, in Chinese and English."""

    NO_FACE = ("没有看到人脸，请正对镜头", "no face found: face the camera")
    SEVERAL = (
        "画面里不止一张脸，请一个人站到镜头前",
        "more than one face found: only one person may be in the picture",
    )
    SMALL = ("脸太小，请走近一点", "the face is too small: come closer")
    TURNED = ("请正对镜头，头不要歪", "the face is turned away: look straight into the camera")
    DARK = ("太暗，请到亮处", "the picture is too dark: more light on the face")
    BRIGHT = ("太亮，请避开强光", "the picture is too bright: avoid glare")
    FLAT = ("画面发灰，请擦净镜头、避开逆光", "the picture is washed out: clean the lens, avoid light from behind")
    SOFT = ("画面模糊，请站稳", "the picture is blurred: hold still")
    MASKED = ("请摘下口罩再登记", "the face is masked: take the mask off to register")
    NOT_LIVE = ("不像真人，请本人站到镜头前", "not recognised as a live face: the person must be present")

    @property
    def sentence(self) -> str:
        """Both languages in one line."""
        chinese, english = self.value
        return f"{chinese}。{english[0].upper()}{english[1:]}."


def only_face(faces: Sequence[Face]) -> Face | Flaw:
    """The only face of a picture, or the flaw that there is none or more than one."""
    if not faces:
        return Flaw.NO_FACE
    return faces[0] if len(faces) == 1 else Flaw.SEVERAL


def main_face(faces: Sequence[Face]) -> Face | Flaw:
    """As `only_face`; faces below half the height of the tallest are background and do not count."""
    tallest_px = max((face.box[3] for face in faces), default=0.0)
    return only_face([face for face in faces if face.box[3] >= tallest_px / 2])


def find_flaw(face: Face, image: NDArray[np.uint8], *, least_eyes_px: float) -> Flaw | None:
    """The first flaw of `face` in `image` ((h, w, 3) uint8 BGR), None if the quality is sufficient."""
    if face.landmarks is None:
        return Flaw.NO_FACE
    points = face.landmarks.astype(np.float64)
    across = points[1] - points[0]
    eyes_px = float(np.hypot(*across))
    if eyes_px < least_eyes_px:
        return Flaw.SMALL
    if not _is_front_view(points, across / eyes_px, eyes_px):
        return Flaw.TURNED
    return _light_flaw(np.asarray(cv2.cvtColor(align_face(image, face.landmarks), cv2.COLOR_BGR2GRAY), np.uint8))


def is_unmasked(face: Face) -> bool:
    """Whether the detector found no mask; also true for a detector that does not judge masks."""
    return face.mask is None or face.mask.best is MaskState.NONE


def _is_front_view(points: NDArray[np.float64], right: NDArray[np.float64], eyes_px: float) -> bool:
    down = np.array((-right[1], right[0]))
    middle, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    nose, height_px = points[2] - middle, float((mouth - middle) @ down)
    if height_px < eyes_px / 3 or abs(np.arctan2(right[1], right[0])) > _TILTED:
        return False
    return abs(float(nose @ right)) / eyes_px <= _TURNED and _NODDED[0] <= float(nose @ down) / height_px <= _NODDED[1]


def _light_flaw(grey: NDArray[np.uint8]) -> Flaw | None:
    mean, spread = float(grey.mean()), float(grey.std())
    for flaw, found in (
        (Flaw.DARK, mean < _DARK),
        (Flaw.BRIGHT, mean > _BRIGHT),
        (Flaw.FLAT, spread < _FLAT),
        (Flaw.SOFT, float(cv2.Laplacian(grey, cv2.CV_64F).var()) < _SOFT),
    ):
        if found:
            return flaw
    return None
