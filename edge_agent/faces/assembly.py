"""Creates the identification by face from the settings of a box."""

from __future__ import annotations

from pathlib import Path

from config.settings import Settings
from edge_agent.box.wall_clock import WallClock
from edge_agent.diagnostics.metrics import Metrics
from edge_agent.faces.current import CurrentFaces
from edge_agent.faces.face_identifier import FaceIdentifier
from edge_agent.faces.recogniser import Recogniser
from edge_agent.faces.register import FaceRegister
from edge_agent.measurement.face_detection import FaceDetectionLoop
from edge_agent.passage.person_tracker import PersonTracker
from edge_agent.records.recorder import PassageRecorder
from models.recognition.embedding import make_embedder
from models.recognition.liveness import make_liveness


def make_face_identifier(
    settings: Settings,
    register: FaceRegister | None,
    detection_loop: FaceDetectionLoop,
    tracker: PersonTracker,
    recorder: PassageRecorder,
    clock: WallClock,
    metrics: Metrics,
) -> FaceIdentifier | None:
    """The identifier of the faces in `register`, None without one. Raises ModelError if a model pack is missing."""
    if register is None:
        return None
    recognition, packs = settings.recognition, Path(settings.box.data_dir) / "models"
    embedder = make_embedder(recognition.pack, data_dir=packs, accept_non_commercial=recognition.accept_non_commercial)
    recogniser = Recogniser(embedder, make_liveness(data_dir=packs), recognition)
    return FaceIdentifier(
        detection_loop=detection_loop,
        tracker=tracker,
        faces=CurrentFaces(register, recognition.pack, recorder, clock),
        recogniser=recogniser,
        frames=recognition.frames,
        looks_per_s=recognition.looks_per_s,
        metrics=metrics,
    )
