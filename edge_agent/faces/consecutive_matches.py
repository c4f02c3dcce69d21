"""Requires several consecutive looks at one arrival to match the same person."""

from __future__ import annotations

_MOST_LOOKS = 12  # per arrival: then the person is no longer examined


class ConsecutiveMatches:
    """Counts matches in a row for one arrival; `needed` of them identify the person."""

    def __init__(self, needed: int) -> None:
        self._needed = needed
        self._arrival: object = None
        self._last_key: str | None = None
        self._matches = 0
        self._looks = 0

    def wants(self, arrival: object) -> bool:
        """Whether `arrival` should be looked at again; a new arrival resets the count."""
        if arrival is not self._arrival:
            self._arrival, self._last_key, self._matches, self._looks = arrival, None, 0, 0
        return self._looks < _MOST_LOOKS

    def note(self, person_key: str | None) -> str | None:
        """Add the result of a look (None: no match); returns the person key after `needed` equal ones in a row."""
        self._looks += 1
        self._matches = self._matches + 1 if person_key is not None and person_key == self._last_key else 1
        self._last_key = person_key
        return person_key if person_key is not None and self._matches >= self._needed else None
