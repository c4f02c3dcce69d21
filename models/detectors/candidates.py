"""Decoded output of a network, before overlapping boxes are merged."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

STRIDES_PX = (8, 16, 32)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """n possible faces in pixels of the network's input.

    `boxes` (n, 4) left, top, right, bottom; `scores` (n,) 0..1; `landmarks` (n, 5, 2); `mask` (n, 3) probabilities
    of correct, incorrect, none, or None for a network without mask states.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    mask: NDArray[np.float32] | None = None


@lru_cache(maxsize=16)
def grid(width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row (n, 2) and stride (n, 1) of every cell of an input, stride by stride, row by row."""
    cells, strides = [], []
    for stride in STRIDES_PX:
        rows, columns = np.mgrid[: height // stride, : width // stride].astype(np.float32)
        cells.append(np.stack((columns, rows), axis=-1).reshape(-1, 2))
        strides.append(np.full((rows.size, 1), stride, np.float32))
    return np.concatenate(cells), np.concatenate(strides)
