"""Decoder of our own network: boxes, five landmarks and the mask state; the graph itself decodes to pixels.

Source: models/training/export.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.detectors.candidates import Candidates

OUTPUTS = frozenset({"faces"})

#: rows of the output (1, 18, anchors): corners, score, x and y of the landmarks, mask state
_BOX, _SCORE, _X, _Y, _MASK = slice(0, 4), 4, slice(5, 10), slice(10, 15), slice(15, 18)


def decode(outputs: Mapping[str, NDArray[np.float32]], _width: int, _height: int, score_floor: float) -> Candidates:
    """Candidates of one picture with a score of at least `score_floor`."""
    rows = outputs["faces"][0]
    found = rows[:, np.flatnonzero(rows[_SCORE] >= score_floor)].T
    return Candidates(
        boxes=found[:, _BOX],
        scores=found[:, _SCORE],
        landmarks=np.stack((found[:, _X], found[:, _Y]), axis=-1),
        mask=found[:, _MASK],
    )
