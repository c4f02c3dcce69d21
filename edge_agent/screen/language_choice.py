"""Which language the box uses now, on screen and in its voice alike."""

from __future__ import annotations

CHOICE_HOLD_S = 15.0  # a person's choice ends after this time without a person


class LanguageSelector:
    """The default language; one chosen by touch for the present person; or several that rotate.

    The rotation restarts with every person, at the default language, and stops while a result is shown. Times are
    monotonic seconds.
    """

    def __init__(self, default: str, also: tuple[str, ...] = (), turn_s: float = 8.0) -> None:
        self._default = default
        self._rotation = (default, *(language for language in also if language != default))
        self._turn_s = turn_s
        self._turning_since_s = 0.0
        self._chosen: str | None = None
        self._chosen_for = 0
        self._present_at_s = 0.0
        self._present = False
        self._current = default

    @property
    def default_languages(self) -> tuple[str, ...]:
        """The languages of the rotation, the default first."""
        return self._rotation

    def speak(self, language: str) -> None:
        """Make `language` the default; the others stay in the rotation."""
        others = tuple(each for each in self._rotation if each not in (language, self._default))
        self._default, self._rotation = language, (language, *others)

    def choose(self, language: str, visit: int, at_s: float) -> None:
        """Use `language` until the person of this `visit` leaves; without a person, for the next one."""
        self._chosen, self._present_at_s = language, at_s
        self._chosen_for = visit if self._present else visit + 1

    def current(self, visit: int, *, present: bool, settled: bool, at_s: float) -> str:
        """The current language; `settled` keeps the one that was used last."""
        if present:
            self._present_at_s = at_s
        if visit > self._chosen_for or at_s - self._present_at_s > CHOICE_HOLD_S:
            self._chosen = None
        if present and not self._present:
            self._turning_since_s = at_s
        self._present = present
        if self._chosen is not None:
            self._current = self._chosen
        elif not settled:
            turn = int((at_s - self._turning_since_s) / self._turn_s)
            self._current = self._rotation[turn % len(self._rotation)]
        return self._current
