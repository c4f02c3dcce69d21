"""Simulated codes: a serial QR reader that sends one line per code, and the picture of a code on a phone."""

from __future__ import annotations

from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.simulated.devices.wire import PtyWire


class LineEnd(Enum):
    """Terminator of a code; depends on interface and setting of the reader (V2)."""

    CRLF = b"\r\n"
    CR = b"\r"
    LF = b"\n"
    NONE = b""  # only silence ends the code


class SimulatedQrReader:
    """The reader on its wire."""

    def __init__(self, wire: PtyWire, line_end: LineEnd = LineEnd.CRLF) -> None:
        self.wire = wire
        self.line_end = line_end

    def show(self, text: str) -> None:
        """Present a code: it is sent once."""
        self.wire.write(text.encode() + self.line_end.value)

    def unplug(self) -> None:
        """Remove the port."""
        self.wire.unplug()

    def plug(self) -> None:
        """Create the port again."""
        self.wire.plug()


def code_picture(text: str, module_px: int = 4, quiet_modules: int = 4) -> NDArray[np.uint8]:
    """The QR code of `text` as a BGR picture with its white border."""
    code = np.asarray(cv2.QRCodeEncoder.create().encode(text), np.uint8)
    bordered = np.pad(code[code.min(axis=1) == 0][:, code.min(axis=0) == 0], quiet_modules, constant_values=255)
    return np.repeat(bordered.repeat(module_px, axis=0).repeat(module_px, axis=1)[..., None], 3, axis=2)
