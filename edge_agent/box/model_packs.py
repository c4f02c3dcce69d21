"""Loads the models that the settings of a box select. All raise ModelError for one that cannot be used."""

from __future__ import annotations

from pathlib import Path

from config.settings import Settings
from models.detections import FaceDetector
from models.detectors.face import make_detector
from models.recognition.embedding import FaceEmbedders
from models.recognition.liveness import Liveness, make_liveness
from models.recognition.make_embedders import make_embedders


def detector_from(settings: Settings, *, threads: int = 1, score: float | None = None) -> FaceDetector:
    """The face detector; `score` None is the detector's own limit."""
    vision = settings.vision
    return make_detector(
        vision.detector,
        size=vision.size,
        threads=threads,
        score=score,
        data_dir=_packs(settings),
        accept_non_commercial=vision.accept_non_commercial,
    )


def embedders_from(settings: Settings) -> FaceEmbedders:
    """The embeddings of whole and of masked faces, with the thresholds of the settings."""
    recognition = settings.recognition
    return make_embedders(
        recognition.pack,
        data_dir=_packs(settings),
        accept_non_commercial=recognition.accept_non_commercial,
        threshold=recognition.threshold,
        masked_threshold=recognition.masked_threshold,
    )


def liveness_from(settings: Settings) -> Liveness:
    """The liveness model."""
    return make_liveness(data_dir=_packs(settings))


def _packs(settings: Settings) -> Path:
    return Path(settings.box.data_dir) / "models"
