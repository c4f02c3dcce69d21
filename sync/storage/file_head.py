"""`FILE-head`: what a database contained last, so that a file that was emptied, cut or replaced is noticed.

It is written after each commit and never synced: a power cut leaves it older than the database, never newer. One line,
with a checksum; a damaged head counts as missing and is written again.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

HEAD_SUFFIX = "-head"
_BYTES = 256
_CHECKSUM_DIGITS = 16


class FileHead(msgspec.Struct, frozen=True):
    """Last known state of one database file."""

    identity: str  # random; a new file has another one
    count: int  # of commits, or the last number of a ledger; it never decreases
    schema: str  # checksum of the schema
    store: str  # name of the migrations: which of our stores it is
    damaged: bool = False  # SQLite found the file inconsistent while it was in use


def head_path(database: Path) -> Path:
    """The path of the head of `database`."""
    return database.with_name(database.name + HEAD_SUFFIX)


def read_head(database: Path) -> FileHead | None:
    """The head of `database`; None if there is none or it is damaged. Raises OSError."""
    try:
        line, _, _ = head_path(database).read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    body, _, checksum = line.rpartition(b" ")
    if checksum != _checksum(body):
        return None
    return msgspec.json.decode(body, type=FileHead)


class HeadFile:
    """Writes the head of one open database, in place: less than a disk block, without a sync."""

    def __init__(self, database: Path) -> None:
        """Raises OSError."""
        self._file = os.open(head_path(database), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, head: FileHead) -> None:
        """Replace the head. Raises OSError."""
        body = msgspec.json.encode(head)
        os.pwrite(self._file, (body + b" " + _checksum(body) + b"\n").ljust(_BYTES), 0)

    def close(self) -> None:
        os.close(self._file)


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:_CHECKSUM_DIGITS].encode()
