"""Whether a picture shows a face, as the box's own detector sees it."""

from __future__ import annotations

from edge_agent.privacy.pictures import FaceFinder
from models.errors import PictureUnreadable
from models.face import make_detector
from models.picture import decode_picture

_LARGER = 640  # a face on a whole photo is small


def face_finder() -> FaceFinder:
    """Looks with the detector that ships with the agent. Raises ModelError."""
    detector = make_detector("sentinel", size=_LARGER)

    def shows_face(data: bytes) -> bool:
        try:
            picture = decode_picture(data, "picture")
        except PictureUnreadable:
            return False
        return bool(detector.detect(picture))

    return shows_face
