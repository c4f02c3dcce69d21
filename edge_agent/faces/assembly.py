"""Creates the identification by face from the settings of a box."""

from __future__ import annotations

from config.settings import Settings
from edge_agent.box.model_packs import embedders_from, liveness_from
from edge_agent.box.wall_clock import WallClock
from edge_agent.diagnostics.metrics import Metrics
from edge_agent.faces.current import CurrentFaces
from edge_agent.faces.face_identifier import FaceIdentifier
from edge_agent.faces.recogniser import Recogniser
from edge_agent.faces.register import FaceRegister
from edge_agent.measurement.face_detection import FaceDetectionLoop
from edge_agent.passage.person_tracker import PersonTracker
from edge_agent.records.recorder import PassageRecorder


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
    recognition = settings.recognition
    embedders = embedders_from(settings)
    return FaceIdentifier(
        detection_loop=detection_loop,
        tracker=tracker,
        faces=CurrentFaces(register, embedders, recorder, clock),
        recogniser=Recogniser(embedders, liveness_from(settings), recognition),
        frames=recognition.frames,
        looks_per_s=recognition.looks_per_s,
        metrics=metrics,
    )
