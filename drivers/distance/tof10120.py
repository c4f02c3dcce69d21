"""TOF10120: a laser distance sensor that sends lines of text.

Confidence V2: two and more public sources; no hardware was at hand. A line has no checksum: a digit that turned into
another digit cannot be seen. A cut or a damaged line can, mostly, and gives no number.
"""

from __future__ import annotations

import re
from collections import Counter

from drivers.contract import DistanceReading

BAUDS = (9600,)
MAX_MM = 2000  # sold as 100 to 1800 mm
CAP_BYTES = 16  # of a line that does not end; more than the longest good one with some noise before it

WHOLE = re.compile(rb"(\d{1,4})mm\r\n")
# Noise runs into the line. Up to four characters may be one number with a damaged digit: its rest is not believed.
AFTER_NOISE = re.compile(rb"(?s:.+)(?<=[^\d])(\d{3,4})mm\r\n")
SHORTEST_AFTER_NOISE = 5 + len(b"mm\r\n")


def set_interval(interval_ms: int) -> bytes:
    """Time between two lines."""
    if interval_ms <= 0:
        raise ValueError(f"an interval is above 0 ms, not {interval_ms}")
    return b"s2-%d#" % interval_ms


class Tof10120:
    """Distances from lines `123mm`, CR, LF."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter(frames=0, bad_checksum=0, resync_bytes=0, refused=0)
        self._line = bytearray()

    def feed(self, data: bytes, at_s: float) -> list[DistanceReading]:
        """Distances completed by `data`; empty `data` gives up a line that did not end."""
        *lines, rest = (bytes(self._line) + data).split(b"\n")
        self._line = bytearray(rest)
        kept = CAP_BYTES if data else 0
        self._lose(len(rest) - kept)
        del self._line[: -kept or None]
        return [reading for line in lines if (reading := self._read(line + b"\n", at_s))]

    def _read(self, line: bytes, at_s: float) -> DistanceReading | None:
        """The distance in one line."""
        found = WHOLE.fullmatch(line)
        if not found and len(line) >= SHORTEST_AFTER_NOISE:
            found = AFTER_NOISE.fullmatch(line)
        if not found:
            self._lose(len(line))
            return None
        distance_mm = int(found[1])
        if not 0 < distance_mm <= MAX_MM:
            self.counters["refused"] += 1
            self._lose(len(line))
            return None
        self.counters["frames"] += 1
        self._lose(found.start(1))
        return DistanceReading.measured(distance_mm, at_s)

    def _lose(self, count: int) -> None:
        self.counters["resync_bytes"] += max(0, count)
