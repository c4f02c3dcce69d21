"""Checksums used by several devices."""

from __future__ import annotations

import zlib

Buffer = bytes | bytearray

_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _crc8_of(byte: int) -> int:
    for _ in range(8):
        byte = (byte << 1 ^ 0x07) & 0xFF if byte & 0x80 else byte << 1
    return byte


_CRC8 = bytes(map(_crc8_of, range(256)))


def sum8(data: Buffer) -> int:
    """Low 8 bits of the sum of all bytes."""
    return sum(data) & 0xFF


def crc8(data: Buffer) -> int:
    """CRC-8 with polynomial 0x07, starting from 0."""
    crc = 0
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc


def crc32_mpeg2(data: bytes) -> int:
    """CRC-32/MPEG-2: the polynomial of zlib's CRC-32, run over mirrored bits and not inverted at the end."""
    mirrored = zlib.crc32(data.translate(_REVERSED_BITS)) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
