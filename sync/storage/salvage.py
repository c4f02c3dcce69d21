"""A copy of a damaged database from which SQLite can read as much as possible; the file itself is never changed.

SQLite reads nothing from a file with a damaged header, and nothing of a write-ahead log after its first damaged page.
The copy has a valid header and every committed page of the log. Source: https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import logging
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sync.storage.set_aside import COPY_SUFFIX

log = logging.getLogger(__name__)

_PAGE_BYTES = 4096  # SQLite's default, which all databases of the product have
_PAGE_SIZES = {1 << power for power in range(9, 16)}
_LOG_HEADER = struct.Struct(">8xI4xII8x")  # page size, salts
_FRAME_HEADER = struct.Struct(">IIII8x")  # page, size of the database after a commit (0: no commit), salts


@contextmanager
def salvage_copy(path: Path) -> Iterator[Path]:
    """The copy of `path` within the block; without space for it, `path` itself."""
    copy = path.with_name(path.name + COPY_SUFFIX)
    try:
        try:
            _make(path, copy)
        except OSError as exc:
            log.warning("%s: recovered without a copy: %s", path.name, exc.strerror)
            copy.unlink(missing_ok=True)
        yield copy if copy.exists() else path
    finally:
        copy.unlink(missing_ok=True)


def _make(path: Path, copy: Path) -> None:
    shutil.copyfile(path, copy)
    with copy.open("r+b") as file:
        page_bytes = _page_bytes(file.read(18))
        write_ahead_log = path.with_name(f"{path.name}-wal")
        if write_ahead_log.exists():
            pages = file.seek(0, 2) // page_bytes
            for page, content in _committed(write_ahead_log.read_bytes(), page_bytes, pages):
                file.seek((page - 1) * page_bytes)
                file.write(content)
        _write_header(file, page_bytes)


def _page_bytes(header: bytes) -> int:
    stored = int.from_bytes(header[16:18])
    return stored if stored in _PAGE_SIZES else _PAGE_BYTES


def _committed(stored: bytes, page_bytes: int, pages: int) -> Iterator[tuple[int, bytes]]:
    """Pages of the current log up to its last commit, in order, whether their checksums match or not.

    Frames of an earlier log differ in both salts; one that is damaged differs in one.
    """
    if len(stored) < _LOG_HEADER.size:
        return
    _, *salts = _LOG_HEADER.unpack_from(stored)
    frame_bytes = _FRAME_HEADER.size + page_bytes
    most_pages = pages + (len(stored) - _LOG_HEADER.size) // frame_bytes
    open_frames: list[tuple[int, bytes]] = []
    for start in range(_LOG_HEADER.size, len(stored) - frame_bytes + 1, frame_bytes):
        page, commit, *frame_salts = _FRAME_HEADER.unpack_from(stored, start)
        if all(one != other for one, other in zip(salts, frame_salts, strict=True)):
            return
        if 0 < page <= most_pages:
            open_frames.append((page, stored[start + _FRAME_HEADER.size : start + frame_bytes]))
        if commit:
            yield from open_frames
            open_frames = []


def _write_header(file: BinaryIO, page_bytes: int) -> None:
    """Write the fields that are the same in all our databases; the others, such as the id of the key, stay."""
    pages = file.seek(0, 2) // page_bytes
    for offset, content in (
        (0, b"SQLite format 3\0" + struct.pack(">H", page_bytes) + bytes((1, 1, 0, 64, 32, 32))),
        (24, struct.pack(">IIII", 1, pages, 0, 0)),  # change counter, pages, no free pages
        (44, struct.pack(">I", 4)),  # schema format
        (52, struct.pack(">II", 0, 1)),  # no automatic vacuum, UTF-8
        (64, struct.pack(">I", 0)),
        (72, bytes(20) + struct.pack(">I", 1)),  # the change counter for which the number of pages is valid
    ):
        if pages:
            file.seek(offset)
            file.write(content)
