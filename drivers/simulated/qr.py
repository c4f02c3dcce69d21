"""A simulated serial QR reader: one line a code."""

from __future__ import annotations

from enum import Enum

from drivers.simulated.wire import PtyWire


class LineEnd(Enum):
    """How a reader ends a code: depends on its interface and setting (V2)."""

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
        """Hold a code before the reader: it is read and sent once."""
        self.wire.write(text.encode() + self.line_end.value)

    def unplug(self) -> None:
        """Pull the cable."""
        self.wire.unplug()

    def plug(self) -> None:
        """Put the cable back."""
        self.wire.plug()
