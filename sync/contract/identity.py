"""Person keys: keyed hashes that replace document numbers."""

from __future__ import annotations

import hashlib
import hmac

COMMUNITY_KEY_BYTES = 16  # at least


def normalise_number(number: str) -> str:
    """A document number as it is hashed: without spaces, in upper case (`x` and `X` are the same check digit)."""
    return "".join(number.split()).upper()


def person_key(community_key: bytes, number: str) -> str:
    """HMAC-SHA256 of the normalised `number` under `community_key`, as 64 hex digits.

    An unkeyed hash of an ID number can be enumerated in hours; the community key is stored outside every database.
    """
    if len(community_key) < COMMUNITY_KEY_BYTES:
        raise ValueError(f"the community key must have at least {COMMUNITY_KEY_BYTES} bytes")
    return hmac.new(community_key, normalise_number(number).encode(), hashlib.sha256).hexdigest()
