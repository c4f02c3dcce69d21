"""Unpacks compressed data inside of a file: gzip, bzip2, xz, and the members of a ZIP archive."""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

MOST_UNPACKED_BYTES = 64 << 20  # of one stream
_READ_BYTES = 1 << 16
_BEGIN = re.compile(rb"\x1f\x8b\x08|BZh[1-9]1AY&SY|\xfd7zXZ\0|PK\x03\x04", re.DOTALL)
_ZIP_HEAD, _DEFLATED = 30, 8


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a compressed stream holds; `complete` is False beyond MOST_UNPACKED_BYTES."""

    kind: str
    data: bytes
    complete: bool


def packed_places(data: bytes) -> Iterator[int]:
    """Where a compressed stream may begin in `data`."""
    for found in _BEGIN.finditer(data):
        yield found.start()


def unpack(stream: BinaryIO, offset: int) -> Unpacked | None:
    """Unpack the stream that begins at `offset`; None if there is none. What precedes damage is returned."""
    stream.seek(offset)
    head = stream.read(_ZIP_HEAD)
    kind, make = _kind(head)
    if make is None:
        return None
    stream.seek(offset + (_zip_body(head) if kind == "zip" else 0))
    data, complete = _read(stream, make())
    return Unpacked(kind, data, complete) if data else None


def _kind(head: bytes) -> tuple[str, Callable[[], _Decompressor] | None]:
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip", lambda: zlib.decompressobj(31)
    if head.startswith(b"BZh"):
        return "bzip2", bz2.BZ2Decompressor
    if head.startswith(b"\xfd7zXZ\0"):
        return "xz", lambda: lzma.LZMADecompressor(memlimit=MOST_UNPACKED_BYTES)
    if head.startswith(b"PK\x03\x04") and len(head) == _ZIP_HEAD and struct.unpack_from("<H", head, 8)[0] == _DEFLATED:
        return "zip", lambda: zlib.decompressobj(-15)
    return "", None


def _zip_body(head: bytes) -> int:
    name, extra = struct.unpack_from("<HH", head, 26)
    return _ZIP_HEAD + int(name) + int(extra)


def _read(stream: BinaryIO, decompressor: _Decompressor) -> tuple[bytes, bool]:
    unpacked = bytearray()
    pending = b""
    try:
        while not decompressor.eof and len(unpacked) < MOST_UNPACKED_BYTES:
            pending = getattr(decompressor, "unconsumed_tail", b"") or stream.read(_READ_BYTES)
            produced = decompressor.decompress(pending, MOST_UNPACKED_BYTES - len(unpacked))
            if not pending and not produced:
                break
            unpacked += produced
    except (zlib.error, OSError, EOFError, lzma.LZMAError):
        pass  # not a stream, or damaged here
    return bytes(unpacked), len(unpacked) < MOST_UNPACKED_BYTES
