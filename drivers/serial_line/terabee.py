"""Common parts of the Terabee sensors: commands with a CRC-8, and acknowledgements that may occur between frames.

Confidence V2: the maker's sample code and its forks; checksums recomputed.
"""

from __future__ import annotations

from drivers.serial_line.checksums import crc8

ACK_BYTES = 4
GOOD, BAD = 0x00, 0xFF


def command(*content: int) -> bytes:
    """A command with its CRC-8."""
    start = bytes(content)
    return start + bytes((crc8(start),))


def ack_bytes(start: bytearray, frame_head: int) -> int:
    """Length of the acknowledgement at the beginning of `start`, 0 where there is none.

    Its second byte is the command code; no command has the code `frame_head`, which means the start of a frame.
    """
    if len(start) < ACK_BYTES:
        return ACK_BYTES
    intact = start[2] in (GOOD, BAD) and crc8(start[: ACK_BYTES - 1]) == start[ACK_BYTES - 1]
    return ACK_BYTES if intact and start[1] != frame_head else 0
