"""TeraRanger Evo Mini: a small distance sensor on USB or a UART, used as one pixel.

Confidence V2: the maker's documents and sample code; CRCs recomputed, not tested on hardware. Frames of the two and
four pixel modes have the same header and are longer; `START_UP` selects one pixel.
"""

from __future__ import annotations

from drivers.distance.reading import DistanceReading, RangeState, measured
from drivers.serial_line.checksums import crc8
from drivers.serial_line.framing import FrameParser, NoReading
from drivers.serial_line.terabee import ack_bytes, command

HEADER = b"T"
ACK_HEAD = b"\x12"
FRAME_BYTES = 4
BAUDS = (115200,)
MAX_MM = 5000  # specified up to 3.3 m
STATES = {0xFFFF: RangeState.TOO_FAR, 1: RangeState.NO_MEASURE, 0: RangeState.TOO_NEAR}

AS_BYTES = command(0x00, 0x11, 0x02)
ONE_PIXEL = command(0x00, 0x21, 0x01)
LONG_RANGE = command(0x00, 0x61, 0x03)

START_UP = (AS_BYTES, ONE_PIXEL, LONG_RANGE)


class EvoMini(FrameParser[DistanceReading]):
    """Frames of the sensor (`T`, millimetres big-endian, CRC-8), with acknowledgements between them."""

    def __init__(self) -> None:
        super().__init__(HEADER, FRAME_BYTES, others=(ACK_HEAD,))

    def needed(self, start: bytearray) -> int:
        """Length of a frame or an acknowledgement."""
        return FRAME_BYTES if start.startswith(HEADER) else ack_bytes(start, HEADER[0])

    def decode(self, frame: bytes, at_s: float) -> DistanceReading | NoReading | None:
        """The distance of one frame; three values mean that none was measured."""
        if crc8(frame[:-1]) != frame[-1]:
            return None
        if frame.startswith(ACK_HEAD):
            return NoReading.OTHER
        distance_mm = int.from_bytes(frame[1:3], "big")
        if distance_mm in STATES:
            return DistanceReading(None, STATES[distance_mm], at_s)
        return measured(distance_mm, at_s) if distance_mm <= MAX_MM else NoReading.REFUSED
