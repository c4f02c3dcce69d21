"""Calex PyroUSB: an industrial spot thermometer with Modbus RTU.

Confidence V2: two copies of the maker's manual; CRCs recomputed, not tested on hardware. A reply does not identify its
registers: one to four registers are read as those of `QUERY`, the filtered temperature first. The PyroMiniBus has
other addresses and is not supported.
"""

from __future__ import annotations

import struct

from drivers.contract import SpotReading
from drivers.serial_line import modbus
from drivers.serial_line.framing import FrameParser, NoReading

UNIT = 1
ANY_UNIT = 255  # the sensor also replies to this address
READ_HOLDING, READ_INPUT = 0x03, 0x04
FILTERED_REGISTER = 0x12  # followed by unfiltered, sensor temperature and status bits
REGISTER_BYTES = 2
OVERHEAD_BYTES = 5  # unit, function, count, CRC
MOST_REGISTERS = 4
BAUDS = (9600,)
OBJECT_C = (-40.0, 2000.0)  # the widest of the maker's models
AMBIENT_C = (-40.0, 125.0)
SENSOR_AT, STATUS_AT = 2, 3
FAULTS = 0b11111  # error, sensor too cold, too hot, object too cold, too hot

QUERY = modbus.request(UNIT, READ_INPUT, FILTERED_REGISTER, MOST_REGISTERS)
_HEADS = [
    bytes((unit, function, count))
    for unit in (UNIT, ANY_UNIT)
    for function in (READ_INPUT, READ_HOLDING)
    for count in range(REGISTER_BYTES, REGISTER_BYTES * MOST_REGISTERS + 1, REGISTER_BYTES)
]


class PyroUsb(FrameParser[SpotReading]):
    """Replies of the sensor: big-endian tenths of a degree; refused while the sensor reports a fault."""

    def __init__(self) -> None:
        super().__init__(_HEADS[0], OVERHEAD_BYTES, others=_HEADS[1:])

    def needed(self, start: bytearray) -> int:
        """Length from the third byte, the number of register bytes."""
        return OVERHEAD_BYTES + start[2]

    def decode(self, frame: bytes, at_s: float) -> SpotReading | NoReading | None:
        """The reading of one reply; `ambient_c` is None where the reply lacks the sensor temperature."""
        if modbus.crc16(frame[: -modbus.CRC_BYTES]) != frame[-modbus.CRC_BYTES :]:
            return None
        registers = [value for (value,) in struct.iter_unpack(">h", frame[3 : -modbus.CRC_BYTES])]
        object_c = registers[0] / 10
        ambient_c = registers[SENSOR_AT] / 10 if len(registers) > SENSOR_AT else None
        status = registers[STATUS_AT] if len(registers) > STATUS_AT else 0
        possible = OBJECT_C[0] <= object_c <= OBJECT_C[1] and (
            ambient_c is None or AMBIENT_C[0] <= ambient_c <= AMBIENT_C[1]
        )
        return SpotReading(object_c, ambient_c, at_s) if possible and not status & FAULTS else NoReading.REFUSED
