"""Makes the loop that finds faces."""

from __future__ import annotations

from pathlib import Path

from config.settings import Settings
from drivers.contract import Camera
from edge_agent.diagnostics.metrics import Metrics
from edge_agent.measurement.face_detection import FaceDetectionLoop
from models.detectors.face import make_detector


def make_face_detection(settings: Settings, camera: Camera, metrics: Metrics) -> FaceDetectionLoop:
    """Face detection on the pictures of `camera` with the detector of the settings. Raises ModelError."""
    vision = settings.vision
    detector = make_detector(
        vision.detector,
        size=vision.size,
        threads=vision.threads,
        score=vision.min_score,
        data_dir=Path(settings.box.data_dir) / "models",
        accept_non_commercial=vision.accept_non_commercial,
    )
    return FaceDetectionLoop(camera, detector, vision.active_fps, vision.idle_fps, metrics)
