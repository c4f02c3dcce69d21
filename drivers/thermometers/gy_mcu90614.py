"""GY-MCU90614 (also "GY-906 UART"): a spot thermometer (MLX90614) behind a small controller on a UART.

Confidence V2: several vendors' texts and two public drivers; no hardware was at hand. Without compensation the vendors
allow 3 to 15 cm of distance, by lens. A newer firmware sends 10 bytes; its layout is not public, its frames not read.
"""

from __future__ import annotations

from drivers.contract import SpotReading
from drivers.serial_line.checksums import sum8
from drivers.serial_line.framing import FrameParser, NoReading
from drivers.thermometers import mlx90614

HEADER = b"\x5a\x5a\x45\x04"  # data type 0x45, 4 data bytes
FRAME_BYTES = 9
BAUDS = (9600, 115200)  # the 90615 variant has 115200

CONTINUOUS = b"\xa5\x45\xea"
QUERY = b"\xa5\x15\xba"
SET_BAUD = {9600: b"\xa5\xae\x53", 115200: b"\xa5\xaf\x54"}  # in force after a power cycle, as the next one
SET_AUTOMATIC = {True: b"\xa5\x51\xf6", False: b"\xa5\x52\xf7"}  # measures by itself from power-up

START_UP = (CONTINUOUS,)


class GyMcu90614(FrameParser[SpotReading]):
    """Frames of the module: object and ambient, big-endian (unlike the array's), °C times 100, and the byte sum."""

    def __init__(self) -> None:
        super().__init__(HEADER, FRAME_BYTES, mark=HEADER)  # as values they are refused

    def decode(self, frame: bytes, at_s: float) -> SpotReading | NoReading | None:
        """The reading of one frame."""
        if sum8(frame[:-1]) != frame[-1]:
            return None
        return mlx90614.reading(frame[4:-1], at_s)
