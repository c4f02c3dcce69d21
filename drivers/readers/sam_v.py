"""Identity cards over a SAM-V reader: find, select, read, each a question of ours and an answer of the reader.

Confidence V2 (eight and more public sources; GA 450 and GA 467 themselves were not read): frames, status codes and the
order of the questions; checksums recomputed. The time between two questions is a recalled one.
A reply to `read` holds the text of the card and its photo. The photo is summed for the checksum and nothing else: it is
in no value, no log and no file.
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
HEAD_BYTES = len(PREAMBLE) + 2  # and the length, which counts what follows itself
STATUS_AND_CHECKSUM_BYTES = 4
LONGEST_BYTES = 2321  # text, photo and two fingerprints
LENGTHS_AT = 10


def command(code: int, parameter: int) -> bytes:
    """One question to the reader."""
    counted = bytes((0, 3, code, parameter))
    return PREAMBLE + counted + bytes((reduce(xor, counted),))


FIND = command(0x20, 0x01)
SELECT = command(0x20, 0x02)
READ = command(0x30, 0x01)
STATUS = command(0x11, 0xFF)
SAM_ID = command(0x12, 0xFF)

OK = 0x90
FOUND = 0x9F
NOT_FOUND = 0x80
FAULTS = {  # of the reader itself: showing the card again changes nothing
    0x21: "the reader does not know the question",
    0x23: "the reader has no right to read cards",
    0x60: "the reader's self-test failed",
    0x66: "the reader's security module is not authorised",
}


@dataclass(frozen=True, slots=True)
class SamVReply:
    """One answer: its status (third byte) and, for a card that was read, the 256 bytes of its text."""

    status: int
    text: bytes | None = field(repr=False, default=None)


class SamVParser(FrameParser[R]):
    """Finds whole answers among bytes."""

    def __init__(self) -> None:
        super().__init__(PREAMBLE, HEAD_BYTES, mark=PREAMBLE)

    def needed(self, start: bytearray) -> int:
        """What the length says, where it can be so."""
        if len(start) < HEAD_BYTES:
            return HEAD_BYTES
        size = HEAD_BYTES + int.from_bytes(start[HEAD_BYTES - 2 : HEAD_BYTES], "big")
        return size if HEAD_BYTES + STATUS_AND_CHECKSUM_BYTES <= size <= LONGEST_BYTES else 0


class SamVReplies(SamVParser[SamVReply]):
    """Every answer: for whoever asks."""

    def decode(self, frame: bytes, _at_s: float) -> SamVReply | None:
        """The answer in one frame."""
        return reply_in(frame)


class SamVCards(SamVParser[CardRead]):
    """The cards among the answers: for whoever decodes a recording."""

    def decode(self, frame: bytes, at_s: float) -> CardRead | NoReading | None:
        """The card in one frame; one that says what cannot be right is refused."""
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
    """The answer in a whole frame; None when its checksum is wrong."""
    if reduce(xor, frame[len(PREAMBLE) :]):  # the sum is among what is summed
        return None
    status = frame[HEAD_BYTES + 2]
    return SamVReply(status, _text_in(frame) if status == OK else None)


def _text_in(frame: bytes) -> bytes | None:
    """The text where the frame's parts add up: text and photo, and fingerprints where they were asked for."""
    for parts in (2, 3):
        start = LENGTHS_AT + 2 * parts
        lengths = [int.from_bytes(frame[at : at + 2], "big") for at in range(LENGTHS_AT, start, 2)]
        if lengths[0] == TEXT_BYTES and start + sum(lengths) + 1 == len(frame):
            return frame[start : start + TEXT_BYTES]
    return None
