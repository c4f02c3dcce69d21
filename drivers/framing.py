"""Bytes in, readings out, no I/O: what every wire protocol of the sensors shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Parser(Protocol[R_co]):
    """Turns the bytes of one wire into readings, whatever way the bytes are cut.

    `counters` has at least `frames` (good ones), `bad_checksum` and `resync_bytes` (bytes of no good frame).
    """

    counters: Counter[str]

    def feed(self, data: bytes, at_s: float) -> Sequence[R_co]:
        """Readings completed by `data`, which came at `at_s`; empty `data` says that the wire has been quiet."""
        ...


class FrameParser(ABC, Generic[R]):
    """Cuts frames out of a stream: finds `header`, waits for `frame_bytes`, decodes; resynchronises where that fails.

    After a bad frame the search goes on one byte further, so a good frame that begins inside a bad one is found.
    Never holds more than one frame between two feeds.
    """

    def __init__(self, header: bytes, frame_bytes: int) -> None:
        self.counters: Counter[str] = Counter(frames=0, bad_checksum=0, resync_bytes=0)
        self._header = header
        self._frame_bytes = frame_bytes
        self._buffer = bytearray()

    @abstractmethod
    def decode(self, frame: bytes, at_s: float) -> R | None:
        """The reading in one whole frame; None when its checksum is wrong."""

    def needed(self, _start: bytearray) -> int:
        """Bytes that the frame which leads `_start` needs; a protocol with a length field overrides and caps this."""
        return self._frame_bytes

    def feed(self, data: bytes, at_s: float) -> list[R]:
        """Readings completed by `data`."""
        self._buffer += data
        readings: list[R] = []
        while self._seek_header():
            size = self.needed(self._buffer)
            if len(self._buffer) < size:
                break
            reading = self.decode(bytes(self._buffer[:size]), at_s)
            if reading is None:
                self.counters["bad_checksum"] += 1
                self._skip(1)
            else:
                self.counters["frames"] += 1
                del self._buffer[:size]
                readings.append(reading)
        return readings

    def _seek_header(self) -> bool:
        """Drop what comes before the next header; True when a whole header leads the buffer."""
        start = self._buffer.find(self._header)
        if start >= 0:
            self._skip(start)
            return True
        kept = next((n for n in range(len(self._header) - 1, 0, -1) if self._buffer.endswith(self._header[:n])), 0)
        self._skip(len(self._buffer) - kept)
        return False

    def _skip(self, count: int) -> None:
        self.counters["resync_bytes"] += count
        del self._buffer[:count]
