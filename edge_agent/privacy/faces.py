"""Whether a picture shows a face, as the box's own detector sees it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from edge_agent.privacy.picture_text import FaceFinder
from models.detectors.face import make_detector
from models.errors import PictureUnreadable
from models.picture import decode_picture

_LARGER = 640  # a face on a whole photo is small


def face_finder() -> FaceFinder:
    """Looks with the detector that ships with the agent. Raises ModelError."""
    detector = make_detector("sentinel", size=_LARGER)

    def shows_face(data: bytes) -> bool:
        try:
            with _silent():
                picture = decode_picture(data, "picture")
        except PictureUnreadable:
            return False
        return bool(detector.detect(picture))

    return shows_face


@contextmanager
def _silent() -> Iterator[None]:
    """The decoders of OpenCV print what they think of bytes that are no picture, past Python."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
