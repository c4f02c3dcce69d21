"""Who a face may be: cut out upright by its landmarks, made into a vector whose cosine with another says how alike.

MobileFaceNet and SFace are Apache-2.0; MobileFaceNet was trained on refined MS-Celeb-1M, whose own terms are research.
ArcFace is InsightFace's, for non-commercial research: it needs an explicit yes, and the extra `recognition`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelDamaged, ModelUnknown
from models.packs.packs import PackShelf
from models.recognition.alignment import SIDE_PX, upright
from models.session import OnnxSession


@dataclass(frozen=True, slots=True)
class EmbedderEntry:
    """An embedding that the configuration may name, after its pack.

    The network sees `(RGB - mean) / std`. Faces are taken for the same person from a cosine of `threshold`.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    threshold: float


EMBEDDINGS: Mapping[str, EmbedderEntry] = {
    # no stranger of 2.4 million pairs comes to 0.55 (bench/recognition.py)
    "mobilefacenet": EmbedderEntry((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), 0.55),
    # not measured here: well over the 0.363 at which its authors compare one pair
    "sface": EmbedderEntry((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.6),
}

#: packs that insightface runs, with the cosine from which faces are taken for the same person
ARCFACE: Mapping[str, float] = {"arcface-mbf": 0.5}  # not measured here


class FaceEmbedder(Protocol):
    """Makes vectors of faces; blocks, so it is called from one worker thread. `threshold` is its pack's own."""

    @property
    def name(self) -> str: ...

    @property
    def threshold(self) -> float: ...

    def embed(self, image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """The (dimensions,) unit vector of the face with `landmarks` (5, 2) in `image` ((h, w, 3) uint8 BGR)."""
        ...


class Embedder:
    """A `FaceEmbedder` over a network.

    Raises ModelDamaged when the network is not one from a (1, 3, 112, 112) crop to one vector.
    """

    def __init__(self, name: str, choice: EmbedderEntry, session: OnnxSession) -> None:
        if session.inputs[0].shape[1:] != (3, SIDE_PX, SIDE_PX) or len(session.outputs[0].shape) != 2:
            raise ModelDamaged(f"not a network for the embedding '{name}': it does not take one {SIDE_PX} px face")
        self.name = name
        self.threshold = choice.threshold
        self._session = session
        self._mean, self._std = np.array(choice.mean, np.float32), np.array(choice.std, np.float32)

    def embed(self, image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """The (dimensions,) unit vector of the face with `landmarks` (5, 2) in `image` ((h, w, 3) uint8 BGR)."""
        crop = (upright(image, landmarks)[..., ::-1] - self._mean) / self._std
        blob = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32)
        [vector] = self._session.run({self._session.inputs[0].name: blob})[self._session.outputs[0].name]
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)


def make_embedder(
    name: str, *, threads: int = 1, data_dir: Path | None = None, accept_non_commercial: bool = False
) -> FaceEmbedder:
    """The embedding of that name, loaded.

    Raises ModelUnknown, ModelMissing, ModelDamaged, ExtraMissing or PackRefused (a non-commercial pack without an
    explicit yes).
    """
    if name not in EMBEDDINGS and name not in ARCFACE:
        raise ModelUnknown(f"no embedding '{name}'; there are {', '.join((*EMBEDDINGS, *ARCFACE))}")
    shelf = PackShelf(data_dir)
    shelf.check_extra(name)
    shelf.check_licence(name, accept_non_commercial=accept_non_commercial)
    path = shelf.find(name)
    session = OnnxSession(path, threads=threads)
    if name in ARCFACE:
        from models.recognition.arcface import ArcFaceEmbedder  # insightface: a box without it must not pay for it

        return ArcFaceEmbedder(name, ARCFACE[name], path, session)
    return Embedder(name, EMBEDDINGS[name], session)
