"""GY-614V and GY-614V3: a forehead thermometer with one-byte registers on a UART.

Confidence V2: one vendor's document and a public driver; checksums recomputed, not tested on hardware. The module also
converts a forehead to a "body" temperature of unpublished accuracy, which is not used. Its continuous output has no
known layout, so the module is queried.
"""

from __future__ import annotations

from drivers.contract import SpotReading
from drivers.serial_line.checksums import sum8
from drivers.serial_line.framing import FrameParser, NoReading
from drivers.thermometers import mlx90614

ADDRESS, READ, WRITE = 0xA4, 0x03, 0x06
OBJECT_REGISTER = 0x08  # followed by the ambient temperature, two registers each
REGISTERS = 16
BAUDS = (9600, 115200)


def command(function: int, register: int, value: int) -> bytes:
    """A command: read `value` registers from `register`, or write `value` to it."""
    start = bytes((ADDRESS, function, register, value))
    return start + bytes((sum8(start),))


ONLY_WHEN_ASKED = command(WRITE, 0x03, 1)
AS_BYTES = command(WRITE, 0x04, 0)  # not as text
QUERY = command(READ, 0x07, 7)  # emissivity, object, ambient, body

START_UP = (ONLY_WHEN_ASKED, AS_BYTES)  # not saved: the stored settings of the module do not change


class Gy614v(FrameParser[SpotReading]):
    """Replies of the module: address, function, first register, count, registers, 8-bit sum of all bytes."""

    def __init__(self) -> None:
        super().__init__(bytes((ADDRESS, READ)), 5, others=(bytes((ADDRESS, WRITE)),))

    def needed(self, start: bytearray) -> int:
        """Length of a reply: of a read from its count; of a write that of the command."""
        if start[1] == WRITE or len(start) < 4:
            return 5
        return 5 + start[3] if 0 < start[3] <= REGISTERS - start[2] else 0

    def decode(self, frame: bytes, at_s: float) -> SpotReading | NoReading | None:
        """The reading of one reply, if it contains the temperatures."""
        if sum8(frame[:-1]) != frame[-1]:
            return None
        place = OBJECT_REGISTER - frame[2]
        temperatures = frame[4:-1][place : place + 4] if place >= 0 else b""
        if frame[1] == WRITE or len(temperatures) < 4:
            return NoReading.OTHER
        return mlx90614.reading(temperatures, at_s)
