"""Decodes what may be Base64 in raw bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass

_RUN = re.compile(rb"[A-Za-z0-9+/_-]{15,}(?:(?:\r?\n|\\r?\\n)[A-Za-z0-9+/_-]{4,})*")
_BREAK = re.compile(rb"\r?\n|(?:\\r)?\\n")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
# Three digits in Base64, as ASCII and as UTF-16. Of the numbers searched, one such group is always at an alignment.
_DIGITS = re.compile(
    b"(?=[MNO][DTjz][AEIMQUYcgk][wxyz0-5]|[MNO][AQgw]A[wxyz0-5]AD[AEIMQUYcgk]A|AD[AEIMQUYcgk]A[MNO][AQgw]A[wxyz0-5])"
)


@dataclass(frozen=True, slots=True)
class Base64Run:
    """`decoded` from the characters at `offsets` of the data."""

    decoded: bytes
    offsets: range | tuple[int, ...]

    def offset_of(self, position: int) -> int:
        """Where the byte `position` of `decoded` is encoded."""
        return self.offsets[position * 4 // 3]


def base64_runs(data: bytes) -> Iterator[Base64Run]:
    """Every run of the Base64 alphabet, decoded at each alignment at which it has digits.

    Other characters of the alphabet may stand directly before the text.
    """
    for found in _RUN.finditer(data):
        run = _BREAK.sub(b"", found.group()).translate(_URL_SAFE)
        alignments = sorted({digits.start() % 4 for digits in _DIGITS.finditer(run)})
        offsets = _offsets(found.group(), found.start()) if alignments else ()
        for alignment in alignments:
            part = run[alignment:]
            part = part[:-1] if len(part) % 4 == 1 else part
            yield Base64Run(base64.b64decode(part + b"=" * (-len(part) % 4)), offsets[alignment:])


def _offsets(run: bytes, start: int) -> range | tuple[int, ...]:
    """Where each character of a run is that begins at `start`, without its line breaks."""
    breaks = {at for each in _BREAK.finditer(run) for at in range(*each.span())}
    everywhere = range(start, start + len(run))
    return tuple(at for at in everywhere if at - start not in breaks) if breaks else everywhere
