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


class InView:
    """Lets a text pass when it comes into view: again only after it was out of view for `gone_s`.

    For an eye that sees what hangs on the wall as well as what is held up, several at a time. Remembers `most` texts,
    by a hash that ends with the process.
    """

    def __init__(self, gone_s: float, most: int = 16) -> None:
        self._gone_s = gone_s
        self._most = most
        self._seen_s: dict[int, float] = {}

    def passes(self, text: str, at_s: float) -> bool:
        """Whether `text` came into view at `at_s` (monotonic seconds)."""
        before_s = self._seen_s.pop(hash(text), float("-inf"))
        self._seen_s[hash(text)] = at_s  # the newest last
        while len(self._seen_s) > self._most:
            del self._seen_s[next(iter(self._seen_s))]
        return at_s - before_s >= self._gone_s
