"""Common parser of the sensor protocols: bytes in, readings out, no I/O.

Counters of every parser: `frames` are valid frames, each of which gave one reading. `bad_checksum` are frames of full
length with a wrong checksum; a frame interrupted by the start of a valid one is truncated and not counted there.
`resync_bytes` are all bytes outside intact frames: noise, and damaged, truncated or refused frames.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class NoReading(StrEnum):
    """Counter of an intact frame that gives no reading."""

    REFUSED = "refused"  # a value outside the range of the sensor, or a reported fault
    OTHER = "other_frames"  # a frame of another kind: an acknowledgement, the reply to a setting


class Parser(Protocol[R_co]):
    """Turns the bytes of one line into readings; the result does not depend on how the bytes are split.

    `counters` has at least `frames`, `bad_checksum` and `resync_bytes`; see the docstring of this module.
    """

    counters: Counter[str]

    def feed(self, data: bytes, at_s: float) -> Sequence[R_co]:
        """Readings completed by `data`, which was received at `at_s`.

        Empty `data` means that the line was silent: an incomplete frame is discarded.
        """
        ...


class AnswerParser(Parser[R_co], Protocol[R_co]):
    """A parser of replies to queries."""

    def query_sent(self, query: bytes) -> None:
        """Record that `query` was sent; needed where a reply does not identify its query."""
        ...


class FrameParser(ABC, Generic[R]):
    """Extracts frames from a stream: finds a header, waits for the frame, decodes it, and resynchronises on errors.

    A frame begins with `header` or one of `others`. After a bad frame the search continues one byte further, so that a
    valid frame that begins inside a bad one is found. At most one frame is buffered between two calls of `feed`.

    `mark` occurs only at the start of a valid frame: a frame that contains it later was truncated. Without `mark`, a
    truncated frame with an accidentally correct checksum would give a false reading and consume the next frame.
    """

    def __init__(self, header: bytes, frame_bytes: int, *, others: Sequence[bytes] = (), mark: bytes = b"") -> None:
        self.counters: Counter[str] = Counter(frames=0, bad_checksum=0, resync_bytes=0, refused=0, other_frames=0)
        self._heads = (header, *others)
        self._any_head = re.compile(b"|".join(map(re.escape, self._heads)))
        self._frame_bytes = frame_bytes
        self._mark = mark
        self._buffer = bytearray()
        self._suspect_bytes = 0  # of a frame with a wrong checksum, to be consumed before the frame counts as bad

    @property
    def buffered_bytes(self) -> int:
        """Bytes buffered for the next feed."""
        return len(self._buffer)

    @abstractmethod
    def decode(self, frame: bytes, at_s: float) -> R | NoReading | None:
        """The reading in one complete frame; None for a wrong checksum."""

    def needed(self, _start: bytearray) -> int:
        """Length of the frame at the beginning of `_start`, 0 where none begins there.

        A protocol with several frame lengths overrides this, and must limit a length that it reads from the line.
        """
        return self._frame_bytes

    def query_sent(self, query: bytes) -> None:
        """Record that `query` was sent; most protocols do not need it."""

    def feed(self, data: bytes, at_s: float) -> list[R]:
        """Readings completed by `data`."""
        self._buffer += data
        readings = list(self._extract_frames(at_s))
        while not data and self._buffer:
            self._skip(1)
            readings += self._extract_frames(at_s)
        return readings

    def _extract_frames(self, at_s: float) -> Iterator[R]:
        """Consume the complete frames in the buffer; an incomplete frame remains."""
        while self._seek_head():
            size = self.needed(self._buffer)
            if not size or self._is_truncated(size):
                self._skip(1)
                continue
            if len(self._buffer) < size:
                return
            outcome = self.decode(bytes(self._buffer[:size]), at_s)
            if outcome is None:
                self._suspect_bytes = self._suspect_bytes or size
                self._skip(1)
            elif outcome is NoReading.REFUSED:
                self.counters[outcome] += 1
                self._skip(1)
            elif outcome is NoReading.OTHER:
                self.counters[outcome] += 1
                self._discard(size)
            else:
                self.counters["frames"] += 1
                self._suspect_bytes = 0
                self._discard(size)
                yield outcome

    def _is_truncated(self, size: int) -> bool:
        """Whether another frame begins within the first `size` bytes of the buffer."""
        return bool(self._mark) and self._buffer.find(self._mark, 1, size + len(self._mark) - 1) >= 0

    def _seek_head(self) -> bool:
        """Drop the bytes before the next header; returns whether the buffer now begins with a complete header."""
        found = self._any_head.search(self._buffer)
        if found and self._buffer:
            self._skip(found.start())
            return True
        begun = (len(head) - cut for head in self._heads for cut in range(1, len(head)) if self._ends_in(head[:-cut]))
        self._skip(len(self._buffer) - max(begun, default=0))
        return False

    def _ends_in(self, start: bytes) -> bool:
        return self._buffer.endswith(start)

    def _skip(self, count: int) -> None:
        """Drop bytes that belong to no frame, and count them."""
        self.counters["resync_bytes"] += count
        self._discard(count)

    def _discard(self, count: int) -> None:
        del self._buffer[:count]
        if self._suspect_bytes:
            self._suspect_bytes = max(0, self._suspect_bytes - count)
            self.counters["bad_checksum"] += not self._suspect_bytes
