"""Optris CT, CS and LT: industrial spot thermometers with a binary protocol of one-byte queries.

Confidence V2: two CS manuals, the CT command list and the LT manual; not tested on hardware. A reply is two bytes
without header or checksum: its meaning depends on the query, and only the range of its value shows whether it is valid.
The range check also resynchronises a shifted stream. Such a line must be short and shielded.
"""

from __future__ import annotations

from drivers.contract import SpotReading
from drivers.serial_line.framing import FrameParser, NoReading

ANSWER_BYTES = 2
BAUDS = (115200, 9600)
QUIET_S = 0.05  # a reply is sent without a gap
QUERY_TARGET, QUERY_HEAD = b"\x01", b"\x02"
QUERIES = (QUERY_HEAD, QUERY_TARGET)
TARGET_C = (-50.0, 1030.0)  # the widest of the LT models
HEAD_C = (-40.0, 180.0)


class Optris(FrameParser[SpotReading]):
    """Replies of the sensor: big-endian tenths of a degree above -100 °C.

    Without a query, values are read as target temperatures.
    """

    steps_per_c = 10

    def __init__(self) -> None:
        super().__init__(b"", ANSWER_BYTES)
        self._query = QUERY_TARGET
        self._head_c: float | None = None

    def query_sent(self, query: bytes) -> None:
        """Match the next reply with `query`; an incomplete earlier reply is discarded."""
        self._query = query
        self._skip(len(self._buffer))

    def decode(self, frame: bytes, at_s: float) -> SpotReading | NoReading:
        """The reading of one reply; the temperature of the head is stored as the ambient temperature."""
        celsius = round(int.from_bytes(frame, "big") / self.steps_per_c - 100, 2)
        low, high = TARGET_C if self._query == QUERY_TARGET else HEAD_C
        if not low <= celsius <= high:
            return NoReading.REFUSED
        if self._query == QUERY_TARGET:
            return SpotReading(celsius, self._head_c, at_s)
        self._head_c = celsius
        return NoReading.OTHER


class OptrisHighResolution(Optris):
    """The same for heads that send hundredths of a degree; the protocol does not identify them."""

    steps_per_c = 100
