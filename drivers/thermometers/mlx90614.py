"""The MLX90614 spot thermometer chip of several boards: its range, and the encoding of its values."""

from __future__ import annotations

import struct

from drivers.contract import SpotReading
from drivers.serial_line.framing import NoReading

OBJECT_C = (-70.0, 380.0)  # Melexis data sheet
AMBIENT_C = (-40.0, 125.0)


def reading(data: bytes, at_s: float) -> SpotReading | NoReading:
    """The reading in four bytes, object and ambient, big-endian hundredths of a degree.

    Returns REFUSED outside the range of the chip.
    """
    object_c, ambient_c = (value / 100 for value in struct.unpack(">hh", data))
    possible = OBJECT_C[0] <= object_c <= OBJECT_C[1] and AMBIENT_C[0] <= ambient_c <= AMBIENT_C[1]
    return SpotReading(object_c, ambient_c, at_s) if possible else NoReading.REFUSED
