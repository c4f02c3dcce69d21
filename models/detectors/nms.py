"""Greedy non-maximum suppression: of overlapping boxes the best is kept and owns the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def overlap(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of one box with `boxes` (n, 4), all left, top, right, bottom."""
    corner = np.maximum(box[:2], boxes[:, :2])
    across = np.maximum(np.minimum(box[2:], boxes[:, 2:]) - corner, 0)
    shared = across[:, 0] * across[:, 1]
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    union = np.prod(box[2:] - box[:2]) + areas - shared
    return np.asarray(shared / np.maximum(union, np.finfo(np.float32).tiny), np.float32)


def greedy_nms(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], overlap_limit: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the kept boxes, best first, and for every box the position of its owner in that list.

    `boxes` (n, 4) left, top, right, bottom; `scores` (n,). Two kept boxes overlap by at most `overlap_limit`.
    """
    kept: list[int] = []
    owner = np.empty(len(boxes), np.intp)
    remaining = np.argsort(-scores, kind="stable")
    while remaining.size:
        near = overlap(boxes[remaining[0]], boxes[remaining]) > overlap_limit
        near[0] = True  # a box without area overlaps nothing, not even itself
        owner[remaining[near]] = len(kept)
        kept.append(int(remaining[0]))
        remaining = remaining[~near]
    return np.array(kept, np.intp), owner
