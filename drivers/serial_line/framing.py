"""Bytes in, readings out, no I/O: what every wire protocol of the sensors shares.

The counters of every parser: `frames` are the good ones, each of which gave one reading. `bad_checksum` are frames with
their head and their whole length whose sum is wrong; one into which a good frame begins was cut short and is none of
them. `resync_bytes` are all bytes that belong to no intact frame: noise, and frames that were damaged, cut or refused.
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
    """What an intact frame that gives no reading is counted as."""

    REFUSED = "refused"  # says what its sensor cannot have measured, or that the sensor has failed
    OTHER = "other_frames"  # is about something else: an acknowledgement, the answer to a setting


class Parser(Protocol[R_co]):
    """Turns the bytes of one wire into readings, whatever way the bytes are cut.

    `counters` has at least `frames`, `bad_checksum` and `resync_bytes`, which the head of this file explains.
    """

    counters: Counter[str]

    def feed(self, data: bytes, at_s: float) -> Sequence[R_co]:
        """Readings completed by `data`, which came at `at_s`.

        Empty `data` says that the wire has been quiet: what was begun before will not be completed.
        """
        ...


class AnswerParser(Parser[R_co], Protocol[R_co]):
    """A parser of answers: one to a question that was just asked, if any was."""

    def query_sent(self, query: bytes) -> None:
        """Hear that `question` was written; for a protocol whose answers do not say what they answer."""
        ...


class FrameParser(ABC, Generic[R]):
    """Cuts frames out of a stream: finds a head, waits for the whole frame, decodes; resynchronises where that fails.

    A frame begins with `header` or one of `others`. After a bad frame the search goes on one byte further, so a good
    frame that begins inside a bad one is found. Never holds more than one frame between two feeds.

    `mark` begins a frame and can be nowhere else in a good one: a frame into which it begins was cut short, even where
    its sum is right by chance, which would be a number never sent and the loss of the good frame behind it.
    """

    def __init__(self, header: bytes, frame_bytes: int, *, others: Sequence[bytes] = (), mark: bytes = b"") -> None:
        self.counters: Counter[str] = Counter(frames=0, bad_checksum=0, resync_bytes=0, refused=0, other_frames=0)
        self._heads = (header, *others)
        self._any_head = re.compile(b"|".join(map(re.escape, self._heads)))
        self._frame_bytes = frame_bytes
        self._mark = mark
        self._buffer = bytearray()
        self._suspect_bytes = 0  # of a frame with a wrong sum that are still to be passed before it counts as bad

    @property
    def buffered_bytes(self) -> int:
        """Bytes that are kept for the next feed."""
        return len(self._buffer)

    @abstractmethod
    def decode(self, frame: bytes, at_s: float) -> R | NoReading | None:
        """The reading in one whole frame; None when its checksum is wrong."""

    def needed(self, _start: bytearray) -> int:
        """Bytes that the frame which leads `_start` needs, 0 for no frame after all.

        A protocol with frames of several lengths overrides this, and caps a length that it takes from the wire.
        """
        return self._frame_bytes

    def query_sent(self, query: bytes) -> None:
        """Hear that `question` was written: no news for most protocols."""

    def feed(self, data: bytes, at_s: float) -> list[R]:
        """Readings completed by `data`."""
        self._buffer += data
        readings = list(self._extract_frames(at_s))
        while not data and self._buffer:
            self._skip(1)
            readings += self._extract_frames(at_s)
        return readings

    def _extract_frames(self, at_s: float) -> Iterator[R]:
        """Take every whole frame off the buffer; what remains is shorter than the frame that it may begin."""
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
        """Whether another frame begins before the one of `size` bytes that leads the buffer ends."""
        return bool(self._mark) and self._buffer.find(self._mark, 1, size + len(self._mark) - 1) >= 0

    def _seek_head(self) -> bool:
        """Drop what comes before the next head; True when a whole head leads the buffer."""
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
        """Pass over bytes that belong to no frame."""
        self.counters["resync_bytes"] += count
        self._discard(count)

    def _discard(self, count: int) -> None:
        del self._buffer[:count]
        if self._suspect_bytes:
            self._suspect_bytes = max(0, self._suspect_bytes - count)
            self.counters["bad_checksum"] += not self._suspect_bytes
