"""Decoder of YuNet: boxes and five landmarks, no mask state.

Source: ShiqiYu/libfacedetection.train, mmdet/models/dense_heads/yunet_head.py; the same arithmetic as
`cv2.FaceDetectorYN`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.detectors.candidates import STRIDES_PX, Candidates, grid

OUTPUTS = frozenset(f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in STRIDES_PX)


def decode(outputs: Mapping[str, NDArray[np.float32]], width: int, height: int, score_floor: float) -> Candidates:
    """Candidates of one picture in a `width` x `height` input, with a score of at least `score_floor`."""
    likely = np.clip(_all(outputs, "cls"), 0, 1) * np.clip(_all(outputs, "obj"), 0, 1)
    scores = np.sqrt(likely[:, 0])
    chosen = np.flatnonzero(scores >= score_floor)
    cells, strides = (part[chosen] for part in grid(width, height))
    shape = _all(outputs, "bbox")[chosen]
    middle = (cells + shape[:, :2]) * strides
    half = np.exp(shape[:, 2:]) * strides / 2
    points = _all(outputs, "kps")[chosen].reshape(-1, 5, 2)
    return Candidates(
        boxes=np.concatenate((middle - half, middle + half), axis=1),
        scores=scores[chosen],
        landmarks=(points + cells[:, None]) * strides[:, None],
    )


def _all(outputs: Mapping[str, NDArray[np.float32]], part: str) -> NDArray[np.float32]:
    return np.concatenate([outputs[f"{part}_{stride}"][0] for stride in STRIDES_PX])
