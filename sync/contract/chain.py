"""The hash chain over the records of one epoch: with it the platform can prove that a day is complete and unaltered.

The hash of a record covers the hash before it, so one record left out, added or changed breaks every later one.
Records from before 0.2 have none: the first that has one begins at `first_hash`. Behind records that a Gap names, the
chain goes on from hashes that only the box knew; it can be followed again from the second record on.
"""

from __future__ import annotations

import hashlib

HASH_BYTES = 32


def first_hash(box: str, epoch: str) -> bytes:
    """What stands before the first record of an epoch of a box."""
    return hashlib.sha256(f"{box}/{epoch}".encode()).digest()


def next_hash(previous: bytes, seq: int, kind: str, body: bytes) -> bytes:
    """Hash of record `seq` with its JSON `body` as the ledger holds it, after the record whose hash is `previous`."""
    head = f"{seq}/{kind}/{len(body)}/".encode()
    return hashlib.sha256(previous + head + body).digest()
