"""Face embeddings: a face is aligned by its landmarks and mapped to a vector; the cosine of two is their similarity.

MobileFaceNet and SFace are Apache-2.0; MobileFaceNet was trained on refined MS-Celeb-1M, whose terms allow research
only. ArcFace of InsightFace is for non-commercial research: it must be accepted explicitly and needs the extra
`recognition`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelDamaged, ModelUnknown
from models.packs.packs import PackStore
from models.recognition.alignment import SIDE_PX, align_face
from models.session import OnnxSession


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

#: packs run by insightface, with the cosine from which faces are the same person
ARCFACE: Mapping[str, float] = {"arcface-mbf": 0.5}  # not measured here


class FaceEmbedder(Protocol):
    """Computes face vectors. Blocks: call it from one worker thread. `threshold` is that of the pack."""

    @property
    def name(self) -> str: ...

    @property
    def threshold(self) -> float: ...

    def embed(self, image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """The (dimensions,) unit vector of the face with `landmarks` (5, 2) in `image` ((h, w, 3) uint8 BGR)."""
        ...


class Embedder:
    """A `FaceEmbedder` over a network.

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


def make_embedder(
    name: str, *, threads: int = 1, data_dir: Path | None = None, accept_non_commercial: bool = False
) -> FaceEmbedder:
    """Load the embedding `name`.

    Raises ModelUnknown, ModelMissing, ModelDamaged, ExtraMissing or PackRefused (a non-commercial pack that was
    not accepted).
    """
    if name not in EMBEDDINGS and name not in ARCFACE:
        raise ModelUnknown(f"no embedding '{name}'; there are {', '.join((*EMBEDDINGS, *ARCFACE))}")
    store = PackStore(data_dir)
    store.check_extra(name)
    store.check_licence(name, accept_non_commercial=accept_non_commercial)
    path = store.find(name)
    session = OnnxSession(path, threads=threads)
    if name in ARCFACE:
        from models.recognition.arcface import ArcFaceEmbedder  # insightface: import it only when used

        return ArcFaceEmbedder(name, ARCFACE[name], path, session)
    return Embedder(name, EMBEDDINGS[name], session)
