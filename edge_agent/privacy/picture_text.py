"""Pictures in raw bytes, wherever they lie in a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from edge_agent.privacy.numbers import NumberKind, NumberMatch

FaceFinder = Callable[[bytes], bool]  # whether the picture that begins there shows a face; no picture is no face
MOST_BYTES = 1 << 20  # of one picture that are looked at

_BEGIN = re.compile(rb"\xff\xd8\xff[\xc0-\xfe]|\x89PNG\r\n\x1a\n|RIFF....WEBP", re.DOTALL)


def faces_in(data: bytes, shows_face: FaceFinder) -> Iterator[NumberMatch]:
    """Every JPEG, PNG or WebP picture in `data` that shows a face."""
    for begin in _BEGIN.finditer(data):
        if shows_face(data[begin.start() : begin.start() + MOST_BYTES]):
            yield NumberMatch(NumberKind.FACE, begin.start())
