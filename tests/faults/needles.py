"""Searches bytes for personal numbers, as plain text and as unkeyed hashes that can be enumerated."""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

_PREFIX = 8  # bytes: no form of a number is shorter
_CHUNK = 1 << 22


class Needles:
    """All forms of `numbers`; `found` returns number and form."""

    def __init__(self, numbers: Iterable[str]) -> None:
        self._by_prefix: dict[int, list[tuple[bytes, str]]] = defaultdict(list)
        for number in numbers:
            for form, name in _forms(number):
                self._by_prefix[int.from_bytes(form[:_PREFIX], "little")].append((form, f"{number} {name}"))
        self._prefixes = np.array(sorted(self._by_prefix), dtype=np.uint64)

    def found(self, hay: bytes) -> set[str]:
        """Every form of every number in `hay`."""
        return {
            name
            for first in range(0, len(hay), _CHUNK)
            for at, prefix in self._hits(hay[first : first + _CHUNK + _PREFIX - 1], first)
            for form, name in self._by_prefix[prefix]
            if hay.startswith(form, at)
        }

    def _hits(self, piece: bytes, first: int) -> Iterator[tuple[int, int]]:
        """Offsets at which a form may begin."""
        for shift in range(min(_PREFIX, max(0, len(piece) - _PREFIX + 1))):
            words = np.frombuffer(piece, dtype="<u8", count=(len(piece) - shift) // _PREFIX, offset=shift)
            places = np.searchsorted(self._prefixes, words)
            places[places == len(self._prefixes)] = 0
            for word in np.nonzero(self._prefixes[places] == words)[0]:
                yield first + shift + _PREFIX * int(word), int(words[word])


def _forms(number: str) -> Iterator[tuple[bytes, str]]:
    yield number.encode(), "plain"
    yield number.encode("utf-16-le"), "plain in UTF-16"
    for text in {number, number.lower()}:
        for kind in ("md5", "sha1", "sha256"):
            digest = hashlib.new(kind, text.encode(), usedforsecurity=False).digest()
            yield digest, kind
            yield digest.hex().encode(), f"{kind} in hex"
            yield digest.hex().upper().encode(), f"{kind} in upper hex"
            yield base64.b64encode(digest).rstrip(b"="), f"{kind} in base64"
            yield base64.urlsafe_b64encode(digest).rstrip(b"="), f"{kind} in base64 for addresses"
