"""The spot thermometer chip behind several boards: what it can measure, and its values as they all send them."""

from __future__ import annotations

import struct

from drivers.contract import SpotReading
from drivers.serial_line.framing import NoReading

OBJECT_C = (-70.0, 380.0)  # Melexis data sheet
AMBIENT_C = (-40.0, 125.0)


def reading(data: bytes, at_s: float) -> SpotReading | NoReading:
    """The reading in four bytes, object and ambient, big-endian hundredths of a degree.

    Refused where the chip cannot have measured it.
    """
    object_c, ambient_c = (value / 100 for value in struct.unpack(">hh", data))
    possible = OBJECT_C[0] <= object_c <= OBJECT_C[1] and AMBIENT_C[0] <= ambient_c <= AMBIENT_C[1]
    return SpotReading(object_c, ambient_c, at_s) if possible else NoReading.REFUSED
