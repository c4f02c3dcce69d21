"""Face embeddings: a face is aligned by its landmarks and mapped to a vector; the cosine of two is their similarity.

Both packs are Apache-2.0; MobileFaceNet was trained on refined MS-Celeb-1M, whose terms allow research only. The packs
of InsightFace are not offered: they are for non-commercial research only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import ModelDamaged, ModelUnknown
from models.packs.packs import PackStore
from models.session import OnnxSession

SIDE_PX = 112
#: landmarks of a frontal face in the aligned crop, in the order of `Face.landmarks`; source: ArcFace
_TEMPLATE = np.array(
    ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
)


@dataclass(frozen=True, slots=True)
class EmbedderEntry:
    """An embedding that the settings can name; the name is that of its pack.

    The input is `(RGB - mean) / std`. Faces with a cosine of at least `threshold` are the same person.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    threshold: float


EMBEDDINGS: Mapping[str, EmbedderEntry] = {
    # none of 2.4 million pairs of different people reaches 0.55 (bench/recognition.py)
    "mobilefacenet": EmbedderEntry((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), 0.55),
    # not measured; well above the 0.363 that its authors use for one pair
    "sface": EmbedderEntry((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.6),
}


class Embedder:
    """Computes face vectors. Blocks: call it from one worker thread. `threshold` is that of the pack.

    Raises ModelDamaged unless the network maps a (1, 3, 112, 112) crop to one vector.
    """

    def __init__(self, name: str, entry: EmbedderEntry, session: OnnxSession) -> None:
        if session.inputs[0].shape[1:] != (3, SIDE_PX, SIDE_PX) or len(session.outputs[0].shape) != 2:
            raise ModelDamaged(f"not a network for the embedding '{name}': it does not take one {SIDE_PX} px face")
        self.name = name
        self.threshold = entry.threshold
        self._session = session
        self._mean, self._std = np.array(entry.mean, np.float32), np.array(entry.std, np.float32)

    def embed(self, image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """The (dimensions,) unit vector of the face with `landmarks` (5, 2) in `image` ((h, w, 3) uint8 BGR)."""
        crop = (align_face(image, landmarks)[..., ::-1] - self._mean) / self._std
        blob = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32)
        [vector] = self._session.run({self._session.inputs[0].name: blob})[self._session.outputs[0].name]
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)


def make_embedder(name: str, *, threads: int = 1, data_dir: Path | None = None) -> Embedder:
    """Load the embedding `name`. Raises ModelUnknown, ModelMissing or ModelDamaged."""
    if name not in EMBEDDINGS:
        raise ModelUnknown(f"no embedding '{name}'; there are {', '.join(EMBEDDINGS)}")
    return Embedder(name, EMBEDDINGS[name], OnnxSession(PackStore(data_dir).find(name), threads=threads))


def align_face(image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(112, 112, 3) uint8: the face rotated, scaled and shifted to fit the template; black outside the picture."""
    return np.asarray(cv2.warpAffine(image, similarity(landmarks), (SIDE_PX, SIDE_PX)), np.uint8)


def similarity(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """The (2, 3) similarity transform from `landmarks` to the template, by least squares.

    With points as complex numbers, one complex factor is both rotation and scale.
    """
    here, there = _complex(landmarks), _complex(_TEMPLATE)
    centre, target = here.mean(), there.mean()
    spread = here - centre
    factor = np.vdot(spread, there - target) / max(float(np.vdot(spread, spread).real), 1e-9)
    shift = target - factor * centre
    return np.array(((factor.real, -factor.imag, shift.real), (factor.imag, factor.real, shift.imag)))


def _complex(points: NDArray[np.floating]) -> NDArray[np.complex128]:
    return points[:, 0] + 1j * points[:, 1].astype(np.float64)
