"""Which language the box uses now, on screen and in its voice alike."""

from __future__ import annotations

CHOICE_HOLD_S = 15.0  # a person's choice ends when nobody stood there for this long


class LanguageSelector:
    """The language of the house; one chosen by touch for the person who is there; or several that take turns.

    Turns begin anew with every person, so whoever is quick hears the house's own language, and stop while a result
    stands. Times are monotonic seconds.
    """

    def __init__(self, house: str, also: tuple[str, ...] = (), turn_s: float = 8.0) -> None:
        self._house = house
        self._turns = (house, *(language for language in also if language != house))
        self._turn_s = turn_s
        self._turning_since_s = 0.0
        self._chosen: str | None = None
        self._chosen_for = 0
        self._somebody_at_s = 0.0
        self._somebody = False
        self._current = house

    @property
    def house(self) -> tuple[str, ...]:
        """The languages of the house, its own first."""
        return self._turns

    def speak(self, house: str) -> None:
        """Make `house` the language of the house; the others keep their turns."""
        others = tuple(language for language in self._turns if language not in (house, self._house))
        self._house, self._turns = house, (house, *others)

    def choose(self, language: str, visit: int, at_s: float) -> None:
        """Use `language` until the person of this `visit` is gone; where nobody stands there, the next one's."""
        self._chosen, self._somebody_at_s = language, at_s
        self._chosen_for = visit if self._somebody else visit + 1

    def current(self, visit: int, *, somebody: bool, settled: bool, at_s: float) -> str:
        """The language now; `settled` keeps the one that was used last."""
        if somebody:
            self._somebody_at_s = at_s
        if visit > self._chosen_for or at_s - self._somebody_at_s > CHOICE_HOLD_S:
            self._chosen = None
        if somebody and not self._somebody:
            self._turning_since_s = at_s
        self._somebody = somebody
        if self._chosen is not None:
            self._current = self._chosen
        elif not settled:
            turn = int((at_s - self._turning_since_s) / self._turn_s)
            self._current = self._turns[turn % len(self._turns)]
        return self._current
