"""Identifies one face in one picture. Blocks, so it runs in a worker thread."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from config.settings import RecognitionSettings
from edge_agent.faces.gallery import Galleries
from edge_agent.faces.quality import GATE_EYES_PX, find_flaw, is_unmasked
from models.detections import Face
from models.recognition.embedding import FaceEmbedders
from models.recognition.liveness import Liveness

_MASKED_PEOPLE = 30  # up to so many the threshold of a pair gives a masked stranger less than 1e-3 a look
_MASKED_RISE = 0.08  # of the cosine; a tenth of the pairs of strangers is left above it (docs/faces.md)


class Recogniser:
    """Compares a face with the galleries; accepts a sharp, live face with a clear match.

    A masked face is compared with upper halves, by a threshold of its own.
    """

    def __init__(self, embedders: FaceEmbedders, liveness: Liveness, settings: RecognitionSettings) -> None:
        self._embedders = embedders
        self._liveness = liveness
        self._live = settings.live
        self._margin = settings.margin

    def look(self, image: NDArray[np.uint8], face: Face, galleries: Galleries) -> str | None:
        """The person key for `face` in `image` ((h, w, 3) uint8 BGR), None without a clear match."""
        unmasked = is_unmasked(face)
        embedder = self._embedders.whole if unmasked else self._embedders.upper
        gallery = galleries.whole if unmasked else galleries.upper
        if embedder is None or not gallery.person_keys or face.landmarks is None:
            return None
        if find_flaw(face, image, least_eyes_px=GATE_EYES_PX) is not None:
            return None
        match = gallery.nearest(embedder.embed(image, face.landmarks))
        rise = 0.0 if unmasked else _masked_rise(len(gallery.person_keys))
        if match is None or match.cosine < embedder.threshold + rise or match.margin < self._margin:
            return None
        return match.person_key if self._liveness.live_probability(image, face.box) >= self._live else None


def _masked_rise(people: int) -> float:
    """How far the threshold of masked faces rises, so that a large register does not accept more strangers."""
    return _MASKED_RISE * max(0.0, math.log10(people / _MASKED_PEOPLE))
