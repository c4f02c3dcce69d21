"""JSON files with a checksum: a bit that flipped on the disk is noticed when the file is read.

The checksum is a line of its own after the JSON. A file without it, written by an older version, is read as it is; no
single flipped bit makes such a file of one with a checksum, because what is left of the line is not JSON.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec

from sync.errors import DamagedFile

T = TypeVar("T")
_MARK = b"sha256 "


def encode_checked(value: Any, *, indent: int = 0) -> bytes:
    """`value` as JSON, followed by the line with its checksum; `indent` > 0: on several lines."""
    body = msgspec.json.encode(value)
    if indent:
        body = msgspec.json.format(body, indent=indent)
    return body + b"\n" + _MARK + _checksum(body) + b"\n"


def decode_checked(content: bytes, kind: type[T]) -> T:
    """The value in `content`. Raises DamagedFile if the checksum is wrong, or the JSON not a `kind`."""
    body, _, line = content.removesuffix(b"\n").rpartition(b"\n")
    if not line.startswith(_MARK):
        body = content
    elif line != _MARK + _checksum(body):
        raise DamagedFile("the checksum is wrong: the file was damaged, or changed by hand")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise DamagedFile(str(exc)) from exc


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
