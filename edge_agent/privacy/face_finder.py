"""Decides with the bundled face detector whether a picture shows a face."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from edge_agent.privacy.picture_search import FaceFinder
from models.detectors.face import make_detector
from models.errors import PictureUnreadable
from models.picture import decode_picture

_INPUT_PX = 640  # more than at the gate: a face in a whole photo is small


def make_face_finder() -> FaceFinder:
    """A function that runs the bundled detector on a picture. Raises ModelError."""
    detector = make_detector("sentinel", size=_INPUT_PX)

    def shows_face(data: bytes) -> bool:
        try:
            with _silenced_stderr():
                picture = decode_picture(data, "picture", even_damaged=True)
        except PictureUnreadable:
            return False
        return bool(detector.detect(picture))

    return shows_face


@contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Discard what OpenCV's decoders write to file descriptor 2 about bytes that are not a picture."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
