"""What looks for registered faces, made from the settings of a box."""

from __future__ import annotations

from pathlib import Path

from config.settings import Settings
from edge_agent.clock import WallClock
from edge_agent.faces.current import CurrentFaces
from edge_agent.faces.lookout import FaceLookout
from edge_agent.faces.recogniser import Recogniser
from edge_agent.faces.register import FaceRegister
from edge_agent.figures import Figures
from edge_agent.ledger import Ledger
from edge_agent.presence import Presence
from edge_agent.sight import Sight
from models.liveness import make_liveness
from models.recognition import make_embedder


def make_lookout(
    settings: Settings,
    register: FaceRegister,
    sight: Sight,
    presence: Presence,
    ledger: Ledger,
    clock: WallClock,
    figures: Figures,
) -> FaceLookout:
    """The lookout over `register`. Raises ModelError where a pack is not on this box."""
    wanted, packs = settings.recognition, Path(settings.box.data_dir) / "models"
    embedder = make_embedder(wanted.pack, data_dir=packs, accept_non_commercial=wanted.accept_non_commercial)
    recogniser = Recogniser(embedder, make_liveness(data_dir=packs), wanted)
    return FaceLookout(
        sight=sight,
        presence=presence,
        faces=CurrentFaces(register, wanted.pack, ledger, clock),
        recogniser=recogniser,
        frames=wanted.frames,
        looks_per_s=wanted.looks_per_s,
        figures=figures,
    )
