"""Reads the integers in the pages of an SQLite file or of its write-ahead log, without SQLite (file format 3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

_MAGIC = b"SQLite format 3\0"
_WAL_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_WAL_HEAD, _FRAME_HEAD, _FILE_HEAD = 32, 24, 100
_TABLE_LEAF, _INDEX_LEAF = 0x0D, 0x0A
_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}  # bytes of an integer by its serial type
_PAGE_SIZES = {2**power for power in range(9, 17)}


def stored_integers(stream: BinaryIO) -> Iterator[tuple[int, int]]:
    """Every integer in the cells of `stream` as (offset of its page, value); nothing for a file of another kind."""
    stream.seek(0)
    head = stream.read(_FILE_HEAD)
    is_wal = head[:4] in _WAL_MAGIC
    size = int.from_bytes(head[8:12] if is_wal else head[16:18], "big")
    size = 65_536 if size == 1 else size
    if size not in _PAGE_SIZES or not (is_wal or head.startswith(_MAGIC)):
        return
    at, step = (_WAL_HEAD + _FRAME_HEAD, size + _FRAME_HEAD) if is_wal else (0, size)
    while True:
        stream.seek(at)
        page = stream.read(size)
        if not page:
            return
        for value in _integers_of(page, _FILE_HEAD if page.startswith(_MAGIC) else 0):
            yield at, value
        at += step


def _integers_of(page: bytes, head: int) -> Iterator[int]:
    """The integers in the cells of a leaf page; of a cell that continues elsewhere what is here."""
    kind = page[head] if head < len(page) else 0
    if kind not in (_TABLE_LEAF, _INDEX_LEAF):
        return
    cells = int.from_bytes(page[head + 3 : head + 5], "big")
    for number in range(min(cells, len(page) // 2)):
        place = head + 8 + 2 * number
        at = int.from_bytes(page[place : place + 2], "big")
        _, at = _varint(page, at)  # length of the payload
        if kind == _TABLE_LEAF:
            rowid, at = _varint(page, at)
            yield rowid
        yield from _record(page, at)


def _record(page: bytes, start: int) -> Iterator[int]:
    length, at = _varint(page, start)
    body = end = start + length
    while at < min(end, len(page)):
        kind, at = _varint(page, at)
        if size := _SIZES.get(kind):
            yield int.from_bytes(page[body : body + size], "big", signed=True)
            body += size
        elif kind >= 12:
            body += (kind - 12) // 2
        elif kind == 7:  # a real number
            body += 8


def _varint(page: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer and where it ends; zero beyond the page."""
    value = 0
    for count, byte in enumerate(page[at : at + 9], start=1):
        if count == 9:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + count
    return value, at + 9
