"""Several looks at one arrival must name the same person, one after the other."""

from __future__ import annotations

_MOST_LOOKS = 12  # at one arrival: who was not known by then is left alone


class ConsecutiveMatches:
    """What the looks at one arrival said so far; `needed` in a row are believed."""

    def __init__(self, needed: int) -> None:
        self._needed = needed
        self._arrival: object = None
        self._said: str | None = None
        self._times = 0
        self._looks = 0

    def wants(self, arrival: object) -> bool:
        """Whether another look at `arrival` may still tell something; another arrival begins anew."""
        if arrival is not self._arrival:
            self._arrival, self._said, self._times, self._looks = arrival, None, 0, 0
        return self._looks < _MOST_LOOKS

    def note(self, person_key: str | None) -> str | None:
        """Take in what a look said (None: nobody); returns the person once enough looks agree."""
        self._looks += 1
        self._times = self._times + 1 if person_key is not None and person_key == self._said else 1
        self._said = person_key
        return person_key if person_key is not None and self._times >= self._needed else None
