"""CJMCU-90614: an MLX90614 spot thermometer behind a microcontroller on a UART.

Confidence V2: two vendors' documents and a driver; the frame in the tests is from a real device. The checksum covers
only the four data bytes, so a zeroed frame is valid. The order object, ambient is taken from the related boards.
"""

from __future__ import annotations

from drivers.contract import SpotReading
from drivers.serial_line.checksums import sum8
from drivers.serial_line.framing import FrameParser, NoReading
from drivers.thermometers import mlx90614

HEADER = b"\x66\x66\x01\x04"  # continuous measurement, 4 data bytes
ANSWER_HEADER = b"\x66\x66\x02\x04"  # reply to a query
FRAME_BYTES = 9
BAUDS = (115200, 9600, 57600)


def command(code: int) -> bytes:
    """A command; commands have no checksum."""
    return bytes((0x66, 0x66, code, 0x56))


CONTINUOUS = command(0x01)
QUERY = command(0x02)

START_UP = (CONTINUOUS,)


class Cjmcu90614(FrameParser[SpotReading]):
    """Frames of the board: object and ambient, big-endian, °C times 100."""

    def __init__(self) -> None:
        super().__init__(HEADER, FRAME_BYTES, others=(ANSWER_HEADER,))

    def decode(self, frame: bytes, at_s: float) -> SpotReading | NoReading | None:
        """The reading of one frame."""
        data = frame[4:-1]
        return mlx90614.reading(data, at_s) if sum8(data) == frame[-1] else None
