"""Makes the loop that finds faces."""

from __future__ import annotations

from config.settings import Settings
from drivers.contract import Camera
from edge_agent.box.model_packs import detector_from
from edge_agent.diagnostics.metrics import Metrics
from edge_agent.measurement.face_detection import FaceDetectionLoop


def make_face_detection(settings: Settings, camera: Camera, metrics: Metrics) -> FaceDetectionLoop:
    """Face detection on the pictures of `camera` with the detector of the settings. Raises ModelError."""
    vision = settings.vision
    detector = detector_from(settings, threads=vision.threads, score=vision.min_score)
    return FaceDetectionLoop(camera, detector, vision.active_fps, vision.idle_fps, metrics)
