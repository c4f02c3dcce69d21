"""ArcFace embeddings of the insightface package; imported only when selected.

The face is aligned by our own `align_face`: `norm_crop` of insightface gives the same crop, but uses a function that
scikit-image has deprecated.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from numpy.typing import NDArray

from models.errors import ModelDamaged
from models.recognition.alignment import SIDE_PX, align_face
from models.session import OnnxSession


class ArcFaceEmbedder:
    """A `FaceEmbedder` over a network of insightface, whose model zoo scales the input.

    Raises ModelDamaged unless the network maps a (1, 3, 112, 112) crop to one vector.
    """

    def __init__(self, name: str, threshold: float, path: Path, session: OnnxSession) -> None:
        if session.inputs[0].shape[1:] != (3, SIDE_PX, SIDE_PX) or [len(port.shape) for port in session.outputs] != [2]:
            raise ModelDamaged(f"not a network for the embedding '{name}': it does not take one {SIDE_PX} px face")
        self.name = name
        self.threshold = threshold
        # our own session: that of insightface would use every core and spin when idle
        self._network = ArcFaceONNX(model_file=str(path), session=session.raw)

    def embed(self, image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """The (dimensions,) unit vector of the face with `landmarks` (5, 2) in `image` ((h, w, 3) uint8 BGR)."""
        [vector] = self._network.get_feat(align_face(image, landmarks))
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)
