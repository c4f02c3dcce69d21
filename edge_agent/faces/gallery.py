"""All registered faces as matrices: whole faces, and upper halves for masked ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Match:
    """The most similar person, the cosine, and its margin over the second; the key is not shown by repr."""

    person_key: str = field(repr=False)
    cosine: float
    margin: float


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Person keys and their unit vectors (n, d) float32, one row per person."""

    person_keys: tuple[str, ...] = field(repr=False)
    vectors: NDArray[np.float32] = field(repr=False)

    @classmethod
    def of(cls, faces: Sequence[tuple[str, NDArray[np.float32]]]) -> Self:
        """The gallery of pairs of a person key and a unit vector."""
        if not faces:
            return cls((), np.empty((0, 0), np.float32))
        return cls(tuple(key for key, _ in faces), np.array([vector for _, vector in faces], np.float32))

    def nearest(self, vector: NDArray[np.float32]) -> Match | None:
        """The person most similar to the unit `vector` (d,); None if the gallery is empty."""
        if not self.person_keys:
            return None
        cosines = np.einsum("nd,d->n", self.vectors, vector)  # `@` would use a thread per core
        best = int(cosines.argmax())
        second = float(np.delete(cosines, best).max(initial=-1.0))
        return Match(self.person_keys[best], float(cosines[best]), float(cosines[best]) - second)


EMPTY = Gallery((), np.empty((0, 0), np.float32))


@dataclass(frozen=True, slots=True)
class Galleries:
    """Whole faces, and upper halves of those people who have registered since these are stored."""

    whole: Gallery = EMPTY
    upper: Gallery = EMPTY
