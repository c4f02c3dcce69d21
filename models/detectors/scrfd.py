"""The SCRFD detector of the insightface package; imported only when selected, because it costs 1.5 s and 50 MB.

The pretrained packs of InsightFace are for non-commercial research only.
"""

from __future__ import annotations

import numpy as np
from insightface.model_zoo.scrfd import SCRFD
from numpy.typing import NDArray

from models.detections import Face
from models.detectors.letterbox import STRIDE_PX
from models.errors import ModelDamaged
from models.session import OnnxSession

#: number of outputs of an SCRFD network with landmarks: scores, boxes and points at three or five strides
_OUTPUT_COUNTS = (9, 15)


class ScrfdDetector:
    """A `FaceDetector` over an SCRFD network with landmarks, without mask states."""

    def __init__(self, session: OnnxSession, *, size: int, score: float) -> None:
        if len(session.outputs) not in _OUTPUT_COUNTS:
            raise ModelDamaged(
                "not a network for the detector 'scrfd': it has no boxes with landmarks at 3 or 5 strides"
            )
        # our own session: that of insightface would use every core and spin when idle
        self._network = SCRFD(session=session.raw, static_shape_sessions=False)
        side = size // STRIDE_PX * STRIDE_PX
        self._network.prepare(0, det_thresh=score, input_size=(side, side))

    @property
    def name(self) -> str:
        return "scrfd"

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces in `image` ((h, w, 3) uint8 BGR), best score first."""
        found, landmarks = self._network.detect(image)
        height, width = image.shape[:2]
        boxes = np.clip(found[:, :4], 0, (width, height, width, height))
        boxes[:, 2:] -= boxes[:, :2]
        return [
            Face((float(box[0]), float(box[1]), float(box[2]), float(box[3])), float(score), points, None)
            for box, score, points in zip(boxes, found[:, 4], landmarks.astype(np.float32), strict=True)
        ]
