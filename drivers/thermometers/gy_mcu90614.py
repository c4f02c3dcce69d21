"""GY-MCU90614 (also "GY-906 UART"): a spot thermometer (MLX90614) behind a microcontroller on a UART.

Confidence V2: several vendors' documents and two public drivers; not tested on hardware. Without compensation the
vendors specify a distance of 3 to 15 cm, depending on the lens. The 10-byte frames of a newer firmware have no public
layout and are not supported.
"""

from __future__ import annotations

from drivers.contract import SpotReading
from drivers.serial_line.checksums import sum8
from drivers.serial_line.framing import FrameParser, NoReading
from drivers.thermometers import mlx90614

HEADER = b"\x5a\x5a\x45\x04"  # data type 0x45, 4 data bytes
FRAME_BYTES = 9
BAUDS = (9600, 115200)  # the 90615 variant uses 115200

CONTINUOUS = b"\xa5\x45\xea"
QUERY = b"\xa5\x15\xba"

START_UP = (CONTINUOUS,)


class GyMcu90614(FrameParser[SpotReading]):
    """Frames of the module: object and ambient as °C times 100, big-endian (unlike the array), and the 8-bit sum."""

    def __init__(self) -> None:
        super().__init__(HEADER, FRAME_BYTES, mark=HEADER)  # as temperatures these bytes are out of range

    def decode(self, frame: bytes, at_s: float) -> SpotReading | NoReading | None:
        """The reading of one frame."""
        if sum8(frame[:-1]) != frame[-1]:
            return None
        return mlx90614.reading(frame[4:-1], at_s)
