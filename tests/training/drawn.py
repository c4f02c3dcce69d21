"""Drawn scenes: a textured background and an oval with eyes and a mouth, not a real face."""

from __future__ import annotations

import cv2
import numpy as np

from models.training.data import Pixels

FACE = {"landmarks": [[40.0, 40.0], [60.0, 40.0], [50.0, 52.0], [42.0, 64.0], [58.0, 64.0]]}


def scene(seed: int, width: int = 128, height: int = 112) -> Pixels:
    """A textured background with one drawn face whose landmarks are FACE's."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 255, (7, 8, 3)).astype(np.uint8)
    image = np.asarray(cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    cv2.ellipse(image, (50, 52), (22, 30), 0, 0, 360, (150, 180, 220), -1)
    for x, y in FACE["landmarks"]:
        cv2.circle(image, (int(x), int(y)), 2, (20, 20, 60), -1)
    return image
