"""Drops a code that a reader sends again and again while it is held up."""

from __future__ import annotations


class RepeatFilter:
    """Lets the same text pass once in `repeat_s`; another text passes at once."""

    def __init__(self, repeat_s: float) -> None:
        self._repeat_s = repeat_s
        self._text = ""
        self._passed_s = float("-inf")

    def passes(self, text: str, at_s: float) -> bool:
        """Whether `text` is news at `at_s` (monotonic seconds)."""
        if text == self._text and at_s - self._passed_s < self._repeat_s:
            return False
        self._text, self._passed_s = text, at_s
        return True
