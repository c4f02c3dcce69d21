"""A simulated SAM-V card reader on a wire: replies to the real queries with synthetic cards."""

from __future__ import annotations

import asyncio
from functools import reduce
from operator import xor

from drivers.simulated.devices.wire import PtyWire

PREAMBLE = b"\xaa\xaa\xaa\x96\x69"
QUERY_BYTES = 10
PHOTO_BYTES = 1024
FIND, SELECT, READ, STATUS = b"\x20\x01", b"\x20\x02", b"\x30\x01", b"\x11\xff"
DONE, FOUND, NOT_FOUND, NOT_SELECTED, READ_FAILED, UNKNOWN_COMMAND = 0x90, 0x9F, 0x80, 0x81, 0x41, 0x21


def answer(status: int, data: bytes = b"") -> bytes:
    """One frame of the reader."""
    counted = (len(data) + 4).to_bytes(2, "big") + bytes((0, 0, status)) + data
    return PREAMBLE + counted + bytes((reduce(xor, counted),))


def card_answer(text: bytes, photo: bytes = bytes(PHOTO_BYTES)) -> bytes:
    """The frame of a card that was read."""
    return answer(DONE, len(text).to_bytes(2, "big") + len(photo).to_bytes(2, "big") + text + photo)


class SimulatedSamV:
    """The reader on its wire.

    Like a real reader, it reads a card once and does not find it again until it was removed, unless `finds_again`. A
    `status` other than DONE is the reply to every query; `mute` suppresses replies; the next `misreads` reads fail.
    """

    def __init__(self, wire: PtyWire) -> None:
        self.wire = wire
        self.finds_again = False
        self.mute = False
        self.status = DONE
        self.misreads = 0
        self.queries: list[bytes] = []
        self._text: bytes | None = None
        self._photo = bytes(PHOTO_BYTES)
        self._is_found = self._is_selected = self._was_read = False
        self._buffer = bytearray()

    def present(self, text: bytes, photo: bytes | None = None) -> None:
        """Place a card on the reader."""
        self._text, self._photo = text, photo or bytes(PHOTO_BYTES)
        self._is_found = self._is_selected = self._was_read = False

    def lift(self) -> None:
        """Remove the card."""
        self._text = None

    def plug(self) -> None:
        """Create the port."""
        self.wire.plug()

    def unplug(self) -> None:
        """Remove the port."""
        self.wire.unplug()

    async def run(self) -> None:
        """Reply to queries until cancelled."""
        while True:
            self._take(self.wire.read())
            await asyncio.sleep(0.01)

    def _take(self, data: bytes) -> None:
        self._buffer += data
        while (start := self._buffer.find(PREAMBLE)) >= 0 and len(self._buffer) - start >= QUERY_BYTES:
            query = bytes(self._buffer[start : start + QUERY_BYTES])
            intact = not reduce(xor, query[len(PREAMBLE) :])
            del self._buffer[: start + (QUERY_BYTES if intact else 1)]
            if intact:
                self.queries.append(query[7:9])
                if not self.mute:
                    self.wire.write(self._answer(query[7:9]))

    def _answer(self, query: bytes) -> bytes:
        if self.status != DONE:
            return answer(self.status)
        if query == FIND:
            self._is_found = self._text is not None and (self.finds_again or not self._was_read)
            return answer(FOUND, bytes(4)) if self._is_found else answer(NOT_FOUND)
        if query == SELECT:
            self._is_selected, self._is_found = self._is_found, False
            return answer(DONE, bytes(8)) if self._is_selected else answer(NOT_SELECTED)
        if query == READ:
            return self._read()
        return answer(DONE) if query == STATUS else answer(UNKNOWN_COMMAND)

    def _read(self) -> bytes:
        may_read, self._is_selected = self._is_selected and self._text is not None, False
        if not may_read or self._text is None or self.misreads > 0:
            self.misreads -= self.misreads > 0
            return answer(READ_FAILED)
        self._was_read = True
        return card_answer(self._text, self._photo)
