"""Face embeddings: a face is aligned by its landmarks and mapped to a vector; the cosine of two is their similarity.

MobileFaceNet and SFace are Apache-2.0; MobileFaceNet was trained on refined MS-Celeb-1M, whose terms allow research
only. ArcFace of InsightFace is for non-commercial research: it must be accepted explicitly and needs the extra
`recognition`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelDamaged
from models.recognition.alignment import SIDE_PX, align_face
from models.session import OnnxSession


@dataclass(frozen=True, slots=True)
class UpperFaceEntry:
    """The embedding of upper halves: the pack of its map, and the cosine from which two are the same person."""

    pack: str
    threshold: float


@dataclass(frozen=True, slots=True)
class EmbedderEntry:
    """An embedding that the settings can name; the name is that of its pack.

    The input is `(RGB - mean) / std`. Faces with a cosine of at least `threshold` are the same person. `upper` is the
    embedding of upper halves over the same network; without it, masked faces cannot be compared.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    threshold: float
    upper: UpperFaceEntry | None = None


EMBEDDINGS: Mapping[str, EmbedderEntry] = {
    # none of 2.4 million pairs of different people reaches 0.55 (bench/recognition.py)
    "mobilefacenet": EmbedderEntry(
        (123.675, 116.28, 103.53),
        (58.395, 57.12, 57.375),
        0.55,
        upper=UpperFaceEntry("mobilefacenet-upper", 0.60),  # drawn masks: 0 and 1 false accepts in 42,912
    ),
    # not measured; well above the 0.363 that its authors use for one pair
    "sface": EmbedderEntry((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.6),
}

#: packs run by insightface, with the cosine from which faces are the same person
ARCFACE: Mapping[str, float] = {"arcface-mbf": 0.5}  # not measured here


class FaceEmbedder(Protocol):
    """Computes face vectors. Blocks: call it from one worker thread.

    Faces with a cosine of at least `threshold` are the same person.
    """

    @property
    def name(self) -> str: ...

    @property
    def threshold(self) -> float: ...

    def embed(self, image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """The (dimensions,) unit vector of the face with `landmarks` (5, 2) in `image` ((h, w, 3) uint8 BGR)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class FaceVectors:
    """The unit vectors of one face: of the whole face, and of its upper half (None: not available)."""

    whole: NDArray[np.float32] = field(repr=False)
    upper: NDArray[np.float32] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class FaceEmbedders:
    """The embeddings of one pack: whole faces, and upper halves for masked ones (None: not available)."""

    whole: FaceEmbedder
    upper: FaceEmbedder | None = None

    def embed(self, image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> FaceVectors:
        """Both vectors of the face with `landmarks` (5, 2) in `image` ((h, w, 3) uint8 BGR)."""
        upper = None if self.upper is None else self.upper.embed(image, landmarks)
        return FaceVectors(self.whole.embed(image, landmarks), upper)


class Embedder:
    """A `FaceEmbedder` over a network.

    Raises ModelDamaged unless the network maps a (1, 3, 112, 112) crop to one vector.
    """

    def __init__(self, name: str, entry: EmbedderEntry, session: OnnxSession, threshold: float | None = None) -> None:
        if session.inputs[0].shape[1:] != (3, SIDE_PX, SIDE_PX) or len(session.outputs[0].shape) != 2:
            raise ModelDamaged(f"not a network for the embedding '{name}': it does not take one {SIDE_PX} px face")
        self.name = name
        self.threshold = threshold or entry.threshold
        self.dimensions = session.outputs[0].shape[1] or 0  # 0: not stated by the network
        self._session = session
        self._mean, self._std = np.array(entry.mean, np.float32), np.array(entry.std, np.float32)

    def embed(self, image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """The (dimensions,) unit vector of the face with `landmarks` (5, 2) in `image` ((h, w, 3) uint8 BGR)."""
        return unit(self.features(align_face(image, landmarks)))

    def features(self, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The (dimensions,) output of the network for an aligned crop (112, 112, 3), not normalised."""
        blob = np.ascontiguousarray(((crop[..., ::-1] - self._mean) / self._std).transpose(2, 0, 1)[None], np.float32)
        [vector] = self._session.run({self._session.inputs[0].name: blob})[self._session.outputs[0].name]
        return np.asarray(vector, np.float32)


def unit(vector: NDArray[np.floating]) -> NDArray[np.float32]:
    """`vector` scaled to length 1."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)
