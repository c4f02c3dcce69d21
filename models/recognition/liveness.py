"""Liveness: whether a face is a live person in front of the camera, or a print or a screen.

Two small networks classify the face with different amounts of surroundings. minivision-ai trained them on prints and
screens at arm's length. They do not detect silicone masks, good screens that fill the view, or an attack on the video
signal itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import ModelDamaged
from models.packs.packs import PackStore
from models.session import OnnxSession

SIDE_PX = 80
#: pack of each network, and the side of its crop in sides of the face box
PACKS = (("minifasnet-v2", 2.7), ("minifasnet-v1se", 4.0))
_LIVE = 1  # index of the class; the other two are prints and screens

Box = tuple[float, float, float, float]


class Liveness:
    """Classifies faces. Blocks: call it from one worker thread. Raises ModelDamaged for networks of another kind.

    `networks`: each takes (1, 3, 80, 80) float32 BGR 0..255 and returns three classes; with its reach as in PACKS.
    """

    def __init__(self, networks: Sequence[tuple[OnnxSession, float]]) -> None:
        for session, _ in networks:
            if session.inputs[0].shape[1:] != (3, SIDE_PX, SIDE_PX) or session.outputs[0].shape[-1] != 3:
                raise ModelDamaged(f"not a network for liveness: it does not make 3 classes of a {SIDE_PX} px face")
        self._networks = tuple(networks)

    def live_probability(self, image: NDArray[np.uint8], box: Box) -> float:
        """Probability (0..1) that the face `box` (x, y, w, h) of `image` ((h, w, 3) uint8 BGR) is live."""
        return float(
            np.mean([self._judge(session, context_crop(image, box, reach)) for session, reach in self._networks])
        )

    def _judge(self, session: OnnxSession, crop: NDArray[np.uint8]) -> float:
        blob = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32)
        [logits] = session.run({session.inputs[0].name: blob})[session.outputs[0].name]
        raised = np.exp(logits - logits.max())
        return float(raised[_LIVE] / raised.sum())


def make_liveness(*, threads: int = 1, data_dir: Path | None = None) -> Liveness:
    """Load both networks. Raises ModelMissing or ModelDamaged."""
    store = PackStore(data_dir)
    return Liveness([(OnnxSession(store.find(pack), threads=threads), reach) for pack, reach in PACKS])


def context_crop(image: NDArray[np.uint8], box: Box, reach: float) -> NDArray[np.uint8]:
    """(80, 80, 3) uint8: crop of `reach` times the box, shifted into the picture and reduced if necessary."""
    height, width = image.shape[:2]
    x, y, w, h = box
    reach = min(reach, (width - 1) / max(w, 1), (height - 1) / max(h, 1))
    wide, high = max(w, 1) * reach, max(h, 1) * reach
    left = min(max(x + w / 2 - wide / 2, 0), width - 1 - wide)
    top = min(max(y + h / 2 - high / 2, 0), height - 1 - high)
    crop = image[int(top) : int(top + high) + 1, int(left) : int(left + wide) + 1]
    return np.asarray(cv2.resize(crop, (SIDE_PX, SIDE_PX)), np.uint8)
