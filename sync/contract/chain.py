"""Hash chain over the records of one epoch, with which the platform verifies that a day is complete and unaltered.

The hash of a record covers the hash of the record before it, so a record that is removed, added or changed invalidates
every later hash. Records from before 0.2 have no hash: the first record that has one starts from `first_hash`. After
the records of a Gap the chain continues from hashes that only the box knew, so verification resumes at the second
record after the gap.
"""

from __future__ import annotations

import hashlib

HASH_BYTES = 32


def first_hash(box: str, epoch: str) -> bytes:
    """The hash that precedes the first record of an epoch of a box."""
    return hashlib.sha256(f"{box}/{epoch}".encode()).digest()


def next_hash(previous: bytes, seq: int, kind: str, body: bytes) -> bytes:
    """Hash of record `seq`, which follows the record with hash `previous`; `body` is JSON as the ledger stores it."""
    head = f"{seq}/{kind}/{len(body)}/".encode()
    return hashlib.sha256(previous + head + body).digest()
