"""GY-MCU90640: a 32x24 thermal array (MLX90640) behind a microcontroller on a UART.

Confidence V2: the maker's "GYMCU90640 User Manual V1.0" and several independent drivers; not tested on hardware. No
source documents values below 0 °C; they are decoded as signed. The maker states ±2 °C, which alone is not enough for a
decision about fever.
"""

from __future__ import annotations

import numpy as np

from drivers.contract import ThermalFrame
from drivers.serial_line.checksums import sum8
from drivers.serial_line.framing import FrameParser, NoReading
from drivers.thermometers.dead_pixels import DeadPixelFilter

ROWS, COLS = 24, 32
HEADER = b"\x5a\x5a"
LENGTH = b"\x02\x06"  # 0x0602, part of the mark: other lengths have no known layout
FRAME_BYTES = 1544
REPLY_BYTES = 4
PIXELS_C = (-40.0, 300.0)  # the maker's manual
AMBIENT_C = (-40.0, 125.0)
BAUDS = (115200, 460800)  # 9600 is omitted: it transmits half a frame a second

RATE_CODES = {0.5: 0, 1.0: 1, 2.0: 2, 4.0: 3, 8.0: 4}
MAX_EMISSIVITY = 1.0


def command(code: int, value: int) -> bytes:
    """A command with the 8-bit sum of its bytes; a frame has the sum of its 16-bit words instead."""
    start = bytes((0xA5, code, value))
    return start + bytes((sum8(start),))


def set_rate(rate_hz: float) -> bytes:
    """Command: set the frames per second to 0.5, 1, 2, 4 or 8; 8 Hz is 12.4 kB/s and needs 460800 baud."""
    return command(0x25, RATE_CODES[rate_hz])


def set_emissivity(emissivity: float) -> bytes:
    """Command: set the emissivity, above 0 and at most 1, in hundredths; skin has 0.98."""
    if not 0 < emissivity <= MAX_EMISSIVITY:
        raise ValueError(f"emissivity must be above 0 and at most 1, not {emissivity}")
    return command(0x45, round(emissivity * 100))


AUTOMATIC = command(0x35, 0x02)
READ_EMISSIVITY = command(0x55, 0x01)  # reply: 5A 5A, percent, 8-bit sum

START_UP = (set_rate(4.0), set_emissivity(0.98), AUTOMATIC)  # not saved: the flash does not change


class GyMcu90640(FrameParser[ThermalFrame]):
    """Frames of the module.

    The module sends row by row from the top, each row beginning at the viewer's right (the maker's figure).
    `mirror` reverses the rows, so that column 0 is at the viewer's left, as in a camera's picture.
    """

    def __init__(self, mirror: bool = False) -> None:
        super().__init__(
            HEADER, FRAME_BYTES, mark=HEADER + LENGTH
        )  # as pixels 231 °C beside 15 °C, which does not occur
        self._step = -1 if mirror else 1
        self._pixels = DeadPixelFilter(ROWS, COLS, PIXELS_C)

    def needed(self, start: bytearray) -> int:
        """Length of a frame, or of the reply to `READ_EMISSIVITY`, which is recognised by its checksum."""
        if len(start) < REPLY_BYTES:
            return REPLY_BYTES
        if start.startswith(LENGTH, len(HEADER)):
            return FRAME_BYTES
        return REPLY_BYTES if 0 < start[2] <= 100 * MAX_EMISSIVITY and sum8(start[:3]) == start[3] else 0

    def decode(self, frame: bytes, at_s: float) -> ThermalFrame | NoReading | None:
        """768 pixels and the sensor temperature as °C times 100, then the sum of all words; all little-endian."""
        if len(frame) < FRAME_BYTES:
            return NoReading.OTHER
        words = np.frombuffer(frame, "<u2")
        if int(words[:-1].sum(dtype=np.uint32)) & 0xFFFF != words[-1]:
            return None
        celsius = words[2:-1].view("<i2").astype(np.float32) / np.float32(100)
        pixels_c, ambient_c = celsius[: ROWS * COLS], round(float(celsius[-1]), 2)
        if not AMBIENT_C[0] <= ambient_c <= AMBIENT_C[1]:
            return NoReading.REFUSED
        return self._pixels.frame(pixels_c.reshape(ROWS, COLS)[:, :: self._step], ambient_c, at_s)
