"""Finds pictures of faces in raw bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from edge_agent.privacy.findings import PersonalDataKind, PersonalDataMatch

FaceFinder = Callable[[bytes], bool]  # whether the bytes begin with a picture that shows a face
MOST_BYTES = 1 << 20  # examined of one picture

_BEGIN = re.compile(rb"\xff\xd8\xff[\xc0-\xfe]|\x89PNG\r\n\x1a\n|RIFF....WEBP", re.DOTALL)


def faces_in(data: bytes, shows_face: FaceFinder) -> Iterator[PersonalDataMatch]:
    """Every JPEG, PNG or WebP picture in `data` that shows a face."""
    for begin in _BEGIN.finditer(data):
        if shows_face(data[begin.start() : begin.start() + MOST_BYTES]):
            yield PersonalDataMatch(PersonalDataKind.FACE, begin.start())
