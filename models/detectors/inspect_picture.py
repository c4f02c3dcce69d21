"""Detections in one photo, as plain values for JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from models.detections import Face, FaceDetector
from models.picture import read_picture

#: low, so that the caller can apply a threshold: with this minimum the AP50 of YuNet-n is within 0.1 points of that of
#: all detections; with 0.6 it is 2 points lower (6 on dim noisy photos)
INSPECT_SCORE = 0.05


def inspect_picture(detector: FaceDetector, path: Path) -> dict[str, object]:
    """The faces of one photo, best score first, in pixels of the upright photo.

    `mask` is None and `mask_scores` empty for a detector without mask states. Raises PictureUnreadable.
    """
    picture = read_picture(path)
    height, width = picture.shape[:2]
    faces = [_face_to_dict(face) for face in detector.detect(picture)]
    return {"image": path.name, "width": width, "height": height, "faces": faces}


def _face_to_dict(face: Face) -> dict[str, object]:
    landmarks = None if face.landmarks is None else [[round(float(v), 1) for v in point] for point in face.landmarks]
    return {
        "box": [round(v, 1) for v in face.box],
        "score": round(face.score, 4),
        "landmarks": landmarks,
        "mask": None if face.mask is None else face.mask.best.value,
        "mask_scores": {} if face.mask is None else {state: round(p, 4) for state, p in asdict(face.mask).items()},
    }
