"""TOF10120: a laser distance sensor that sends lines of text.

Confidence V2: two and more public sources; not tested on hardware. A line has no checksum: a digit changed into
another digit is not detected. Most truncated or damaged lines are detected and give no reading.
"""

from __future__ import annotations

import re
from collections import Counter

from drivers.distance.reading import DistanceReading, measured

BAUDS = (9600,)
MAX_MM = 2000  # specified 100 to 1800 mm
CAP_BYTES = 16  # limit of an unterminated line; longer than the longest valid line with some noise before it

WHOLE = re.compile(rb"(\d{1,4})mm\r\n")
# Noise before the number. Up to four characters may be one number with a damaged digit, whose rest must not be used.
AFTER_NOISE = re.compile(rb"(?s:.+)(?<=[^\d])(\d{3,4})mm\r\n")
SHORTEST_AFTER_NOISE = 5 + len(b"mm\r\n")


class Tof10120:
    """Distances from lines `123mm`, CR, LF."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter(frames=0, bad_checksum=0, resync_bytes=0, refused=0)
        self._line = bytearray()

    def feed(self, data: bytes, at_s: float) -> list[DistanceReading]:
        """Distances completed by `data`; empty `data` discards an unterminated line."""
        *lines, rest = (bytes(self._line) + data).split(b"\n")
        self._line = bytearray(rest)
        retained = CAP_BYTES if data else 0
        self._count_lost(len(rest) - retained)
        del self._line[: -retained or None]
        return [reading for line in lines if (reading := self._read(line + b"\n", at_s))]

    def _read(self, line: bytes, at_s: float) -> DistanceReading | None:
        """The distance in one line."""
        found = WHOLE.fullmatch(line)
        if not found and len(line) >= SHORTEST_AFTER_NOISE:
            found = AFTER_NOISE.fullmatch(line)
        if not found:
            self._count_lost(len(line))
            return None
        distance_mm = int(found[1])
        if not 0 < distance_mm <= MAX_MM:
            self.counters["refused"] += 1
            self._count_lost(len(line))
            return None
        self.counters["frames"] += 1
        self._count_lost(found.start(1))
        return measured(distance_mm, at_s)

    def _count_lost(self, count: int) -> None:
        self.counters["resync_bytes"] += max(0, count)
