"""Makes the loop that finds faces."""

from __future__ import annotations

from functools import partial

from config.settings import Settings
from drivers.contract import Camera, PartFault
from edge_agent.box.model_packs import detector_from
from edge_agent.diagnostics.metrics import Metrics
from edge_agent.measurement.face_detection import FaceDetectionLoop
from edge_agent.measurement.upright_monitor import UprightMonitor
from models.detectors.upright import make_upright_probe


def make_face_detection(settings: Settings, camera: Camera, metrics: Metrics) -> FaceDetectionLoop:
    """Face detection on the pictures of `camera` with the detector of the settings. Raises ModelError."""
    vision = settings.vision
    detector = detector_from(settings, threads=vision.threads, score=vision.min_score)
    mounted = settings.camera
    upright = UprightMonitor(
        make_upright_probe(),
        partial(camera.reject, fault=PartFault.NOT_UPRIGHT),
        rotate_deg=mounted.rotate,
        flip=mounted.flip,
    )
    return FaceDetectionLoop(camera, detector, upright, vision.active_fps, vision.idle_fps, metrics)
