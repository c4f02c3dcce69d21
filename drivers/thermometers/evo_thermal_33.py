"""TeraRanger Evo Thermal 33: a 32x32 thermal array (Heimann) on USB, or on a UART through its backboard.

Confidence V2: the maker's sample code with its forks, and the maker's own fever application; CRCs recomputed, not
tested on hardware. The direction of the rows is not documented: align the array with the camera.
"""

from __future__ import annotations

import numpy as np

from drivers.contract import ThermalFrame
from drivers.serial_line.checksums import crc32_mpeg2
from drivers.serial_line.framing import FrameParser, NoReading
from drivers.serial_line.terabee import ack_bytes, command
from drivers.thermometers.dead_pixels import DeadPixelFilter

ROWS, COLS = 32, 32
HEADER = b"\x0d\x00"
ACK_HEAD = b"\x14"
FRAME_BYTES = 2070  # header, 1032 words, CRC
BAUDS = (115200, 460800)  # USB, backboard
PIXELS_C = (-40.0, 1000.0)  # the maker states no range; this is wider than that of comparable sensors
AMBIENT_C = (-40.0, 125.0)

ACTIVATE = command(0x00, 0x52, 0x02, 0x01)


def set_emissivity(emissivity: float) -> bytes:
    """Command: set the emissivity, above 0 and at most 1, in hundredths; skin has 0.98."""
    if not 0 < emissivity <= 1:
        raise ValueError(f"emissivity must be above 0 and at most 1, not {emissivity}")
    return command(0x00, 0x51, round(emissivity * 100))


START_UP = (set_emissivity(0.98), ACTIVATE)


class EvoThermal33(FrameParser[ThermalFrame]):
    """Frames of the sensor, with acknowledgements between them. `mirror` reverses each row."""

    def __init__(self, mirror: bool = False) -> None:
        super().__init__(HEADER, FRAME_BYTES, others=(ACK_HEAD,))
        self._step = -1 if mirror else 1
        self._pixels = DeadPixelFilter(ROWS, COLS, PIXELS_C)

    def needed(self, start: bytearray) -> int:
        """Length of a frame or an acknowledgement."""
        return FRAME_BYTES if start.startswith(HEADER) else ack_bytes(start, HEADER[0])

    def decode(self, frame: bytes, at_s: float) -> ThermalFrame | NoReading | None:
        """1024 pixels and the sensor temperature as little-endian tenths of a kelvin; CRC with the high word first."""
        if len(frame) < FRAME_BYTES:
            return NoReading.OTHER
        words = np.frombuffer(frame, "<u2", offset=len(HEADER))
        if crc32_mpeg2(frame[len(HEADER) : -4]) != int(words[-2]) << 16 | int(words[-1]):
            return None
        celsius = words[: ROWS * COLS + 1] / 10 - 273.15
        pixels_c, ambient_c = celsius[:-1], float(celsius[-1])
        if not AMBIENT_C[0] <= ambient_c <= AMBIENT_C[1]:
            return NoReading.REFUSED
        return self._pixels.frame(pixels_c.astype(np.float32).reshape(ROWS, COLS)[:, :: self._step], ambient_c, at_s)
