"""Checksum of a directory: the sum of its row hashes modulo 2^256, so that an update reads only the changed rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

_MODULUS = 1 << 256
EMPTY = f"{0:064x}"


def _row(body: bytes | None) -> int:
    return 0 if body is None else int.from_bytes(hashlib.sha256(body).digest())


def checksum_of(bodies: Iterable[bytes | None]) -> str:
    """The checksum of a directory with the rows `bodies` (JSON as on the wire; None: the row is absent)."""
    return f"{sum(map(_row, bodies)) % _MODULUS:064x}"


def update_checksum(checksum: str, old: bytes | None, new: bytes | None) -> str:
    """`checksum` (64 hex digits) after row `old` was replaced by `new` (JSON as on the wire); None: the row is absent.

    It detects rows that were lost, duplicated or mixed up; it does not authenticate them.
    """
    return f"{(int(checksum, 16) - _row(old) + _row(new)) % _MODULUS:064x}"
