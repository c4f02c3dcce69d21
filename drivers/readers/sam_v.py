"""Protocol of the SAM-V identity card readers: the queries find, select and read, each answered by the reader.

Confidence V2 (eight and more public sources, without the standards GA 450 and GA 467 themselves): frames, status codes
and the order of the queries; checksums recomputed. The time between two queries is not from a source.
The reply to READ contains the text of the card and its photo. The photo is used for the checksum only and is never
stored, logged or returned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from operator import xor
from typing import TypeVar

from drivers.contract import CardRead
from drivers.readers.errors import CodeMalformed
from drivers.readers.id_card import TEXT_BYTES, read_card
from drivers.serial_line.framing import FrameParser, NoReading

BAUD = 115200
R = TypeVar("R")

PREAMBLE = b"\xaa\xaa\xaa\x96\x69"
HEAD_BYTES = len(PREAMBLE) + 2  # preamble and length; the length counts the bytes after it
STATUS_AND_CHECKSUM_BYTES = 4
LONGEST_BYTES = 2321  # text, photo and two fingerprints
LENGTHS_AT = 10


def command(code: int, parameter: int) -> bytes:
    """One query to the reader."""
    counted = bytes((0, 3, code, parameter))
    return PREAMBLE + counted + bytes((reduce(xor, counted),))


FIND = command(0x20, 0x01)
SELECT = command(0x20, 0x02)
READ = command(0x30, 0x01)
STATUS = command(0x11, 0xFF)

OK = 0x90
FOUND = 0x9F
FAULTS = {  # of the reader itself: presenting the card again cannot help
    0x21: "reader: unknown command",
    0x23: "the reader is not authorised to read cards",
    0x60: "the reader's self-test failed",
    0x66: "the reader's security module is not authorised",
}


@dataclass(frozen=True, slots=True)
class SamVReply:
    """One reply: its status (third byte) and, if a card was read, the 256 bytes of its text."""

    status: int
    text: bytes | None = field(repr=False, default=None)


class SamVParser(FrameParser[R]):
    """Extracts replies from bytes."""

    def __init__(self) -> None:
        super().__init__(PREAMBLE, HEAD_BYTES, mark=PREAMBLE)

    def needed(self, start: bytearray) -> int:
        """Length from the header, 0 where it is out of range."""
        if len(start) < HEAD_BYTES:
            return HEAD_BYTES
        size = HEAD_BYTES + int.from_bytes(start[HEAD_BYTES - 2 : HEAD_BYTES], "big")
        return size if HEAD_BYTES + STATUS_AND_CHECKSUM_BYTES <= size <= LONGEST_BYTES else 0


class SamVReplies(SamVParser[SamVReply]):
    """All replies: for the driver."""

    def decode(self, frame: bytes, _at_s: float) -> SamVReply | None:
        """The reply in one frame."""
        return reply_in(frame)


class SamVCards(SamVParser[CardRead]):
    """Only the replies with a card: for decoding a recording."""

    def decode(self, frame: bytes, at_s: float) -> CardRead | NoReading | None:
        """The card in one frame; an invalid card is refused."""
        reply = reply_in(frame)
        if reply is None:
            return None
        if reply.text is None:
            return NoReading.OTHER
        try:
            return read_card(reply.text, at_s)
        except CodeMalformed:
            return NoReading.REFUSED


def reply_in(frame: bytes) -> SamVReply | None:
    """The reply in a complete frame; None for a wrong checksum."""
    if reduce(xor, frame[len(PREAMBLE) :]):  # includes the checksum byte, so a valid frame gives 0
        return None
    status = frame[HEAD_BYTES + 2]
    return SamVReply(status, _text_in(frame) if status == OK else None)


def _text_in(frame: bytes) -> bytes | None:
    """The text, if the stated lengths of text and photo (and fingerprints) match the frame; else None."""
    for parts in (2, 3):
        start = LENGTHS_AT + 2 * parts
        lengths = [int.from_bytes(frame[at : at + 2], "big") for at in range(LENGTHS_AT, start, 2)]
        if lengths[0] == TEXT_BYTES and start + sum(lengths) + 1 == len(frame):
            return frame[start : start + TEXT_BYTES]
    return None
