"""Decodes recorded bytes with the parser of the driver, without the device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from drivers.serial_line.device_protocol import DeviceProtocol
from drivers.serial_line.framing import Parser
from drivers.serial_line.recording import Piece


class Replay:
    """One pass over a recording: read `readings` to the end, then `counts`."""

    def __init__(self, protocol: DeviceProtocol[Parser[Any]]) -> None:
        self._parser = protocol.parser()
        self._quiet_s = protocol.quiet_s
        self.fed_bytes = 0

    def readings(self, pieces: Iterable[Piece]) -> Iterator[tuple[float, Any]]:
        """Each reading with the second of its last byte; a pause above `quiet_s` between two pieces ends a frame."""
        at_s = 0.0
        for piece in pieces:
            if piece.at_s - at_s > self._quiet_s:
                yield from self._feed(b"", at_s + self._quiet_s)
            at_s = piece.at_s
            self.fed_bytes += len(piece.data)
            yield from self._feed(piece.data, at_s)
        yield from self._feed(b"", at_s + self._quiet_s)

    @property
    def counts(self) -> dict[str, int]:
        """Counters of the parser; see `drivers/serial_line/framing.py`."""
        return dict(self._parser.counters)

    def _feed(self, data: bytes, at_s: float) -> Iterator[tuple[float, Any]]:
        return ((at_s, reading) for reading in self._parser.feed(data, at_s))
