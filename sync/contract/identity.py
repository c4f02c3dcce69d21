"""Person keys: a keyed hash in place of a document number."""

from __future__ import annotations

import hashlib
import hmac


def normalise_number(number: str) -> str:
    """A document number as it is hashed: no spaces, upper case (a check digit typed `x` is the same person as `X`)."""
    return "".join(number.split()).upper()


def person_key(community_key: bytes, number: str) -> str:
    """HMAC-SHA256 of the normalised `number` under `community_key` (>= 16 bytes), as 64 hex digits.

    A plain hash of an ID number can be enumerated in hours; the community key lives outside every database.
    """
    if len(community_key) < 16:
        raise ValueError("the community key must have at least 16 bytes")
    return hmac.new(community_key, normalise_number(number).encode(), hashlib.sha256).hexdigest()
