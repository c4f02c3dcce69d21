"""Identifies one face in one picture. Blocks, so it runs in a worker thread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from config.settings import RecognitionSettings
from edge_agent.faces.gallery import Gallery
from edge_agent.faces.quality import GATE_EYES_PX, find_flaw, is_unmasked
from models.detections import Face
from models.recognition.embedding import FaceEmbedder
from models.recognition.liveness import Liveness


class Recogniser:
    """Compares a face with the gallery; accepts an unmasked, sharp, live face with a clear match."""

    def __init__(self, embedder: FaceEmbedder, liveness: Liveness, settings: RecognitionSettings) -> None:
        self._embedder = embedder
        self._liveness = liveness
        self._live = settings.live
        self._margin = settings.margin
        self._threshold = settings.threshold or embedder.threshold

    def look(self, image: NDArray[np.uint8], face: Face, gallery: Gallery) -> str | None:
        """The person key for `face` in `image` ((h, w, 3) uint8 BGR), None without a clear match."""
        if face.landmarks is None or not is_unmasked(face) or find_flaw(face, image, least_eyes_px=GATE_EYES_PX):
            return None
        match = gallery.nearest(self._embedder.embed(image, face.landmarks))
        if match is None or match.cosine < self._threshold or match.margin < self._margin:
            return None
        return match.person_key if self._liveness.live_probability(image, face.box) >= self._live else None
