"""Detections in one photo, as plain values for JSON."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.detections import Face, FaceDetector, MaskState
from models.detectors.upright import UprightProbe
from models.imaging.damage import has_filled_band, seams
from models.imaging.orientation import TURNS, turned
from models.picture import read_picture

#: low, so that the caller can apply a threshold: with this minimum the AP50 of YuNet-n is within 0.1 points of that of
#: all detections; with 0.6 it is 2 points lower (6 on dim noisy photos)
INSPECT_SCORE = 0.05


_MOST_LOOKS = 3  # at the tallest faces
_CLEAR_LEAD = 0.05  # of the best score in a turned picture


def inspect_picture(detector: FaceDetector, path: Path, probe: UprightProbe | None = None) -> dict[str, object]:
    """The faces of one photo, best score first, in pixels of the upright photo.

    `mask` is None and `mask_scores` empty for a detector without mask states, and for a photo that looks damaged, where
    the key `damage` names the trace. They are also so for a correct mask if `probe` finds that the faces stand on their
    heads; the key `turned` has the clockwise turn in degrees that makes them upright. Raises PictureUnreadable.
    """
    picture = read_picture(path)
    height, width = picture.shape[:2]
    faces, found = detector.detect(picture), dict[str, object]()
    if damage := _trace_of_damage(picture):
        found["damage"] = damage
        faces = [replace(face, mask=None) for face in faces]
    elif probe is not None and (turn := _turn(picture, faces, detector, probe)):
        found["turned"] = turn
        faces = [replace(face, mask=None) if _is_masked(face) else face for face in faces]
    return {
        "image": path.name,
        "width": width,
        "height": height,
        "faces": [_face_to_dict(face) for face in faces],
    } | found


def _trace_of_damage(picture: NDArray[np.uint8]) -> str:
    if has_filled_band(picture):
        return "a band of the picture was not decoded"
    return "the colours of a part of the picture are shifted" if seams(picture) else ""


def _turn(picture: NDArray[np.uint8], faces: list[Face], detector: FaceDetector, probe: UprightProbe) -> int:
    """The turn that makes the picture upright, 0 for none: only where a face counts as masked does it matter."""
    masked = sorted((face for face in faces if _is_masked(face)), key=lambda face: -face.box[3])
    if not masked:
        return 0
    looks = [probe.look(picture, face) for face in masked[:_MOST_LOOKS]]
    denying = [look for look in looks if look.denies_mask]
    if denying and sum(look.lead for look in looks) > 0:
        return denying[0].clockwise_deg
    # What counts as masked may be no face at all: the face may be found only where the picture is upright.
    for clockwise_deg in filter(None, TURNS):
        found = detector.detect(turned(picture, clockwise_deg))
        if found and found[0].score > faces[0].score + _CLEAR_LEAD:
            return clockwise_deg
    return 0


def _is_masked(face: Face) -> bool:
    return face.mask is not None and face.mask.best is MaskState.CORRECT


def _face_to_dict(face: Face) -> dict[str, object]:
    landmarks = None if face.landmarks is None else [[round(float(v), 1) for v in point] for point in face.landmarks]
    return {
        "box": [round(v, 1) for v in face.box],
        "score": round(face.score, 4),
        "landmarks": landmarks,
        "mask": None if face.mask is None else face.mask.best.value,
        "mask_scores": {} if face.mask is None else {state: round(p, 4) for state, p in asdict(face.mask).items()},
    }
