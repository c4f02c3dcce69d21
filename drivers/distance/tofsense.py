"""Nooploop TOFSense: a laser distance sensor on a UART.

Confidence S1: DFRobot's pages; checksums recomputed, not tested on hardware. The status byte of a frame differs by
model and is ignored; a distance outside the range of all models is refused instead.
"""

from __future__ import annotations

from drivers.distance.reading import DistanceReading, measured
from drivers.serial_line.checksums import sum8
from drivers.serial_line.framing import FrameParser, NoReading

HEADER = b"\x57\x00\xff"
FRAME_BYTES = 16
BAUDS = (921600, 115200)  # both variants are sold
MAX_MM = 30_000

QUERY = bytes.fromhex("5710ffff00ffff63")  # for sensor ID 0; the factory setting also sends continuously


class TofSense(FrameParser[DistanceReading]):
    """Frames of the sensor: distance as signed 24 bits little-endian, in millimetres; 8-bit sum of all bytes."""

    def __init__(self) -> None:
        super().__init__(HEADER, FRAME_BYTES)

    def decode(self, frame: bytes, at_s: float) -> DistanceReading | NoReading | None:
        """The distance of one frame."""
        if sum8(frame[:-1]) != frame[-1]:
            return None
        distance_mm = int.from_bytes(frame[8:11], "little", signed=True)
        return measured(distance_mm, at_s) if 0 < distance_mm <= MAX_MM else NoReading.REFUSED
