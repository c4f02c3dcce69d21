"""Drops repeats of a code or card that is still being presented."""

from __future__ import annotations


class RepeatFilter:
    """Passes the same text once per `repeat_s`; a different text passes immediately."""

    def __init__(self, repeat_s: float) -> None:
        self._repeat_s = repeat_s
        self._text = ""
        self._passed_s = float("-inf")

    def passes(self, text: str, at_s: float) -> bool:
        """Whether `text` at `at_s` (monotonic seconds) is not a repeat."""
        if text == self._text and at_s - self._passed_s < self._repeat_s:
            return False
        self._text, self._passed_s = text, at_s
        return True


class InView:
    """Passes a text when it comes into view, and again only after it was out of view for `gone_s`.

    For a camera with several codes in view, including codes on a wall. Stores the hashes of the last `most` texts; the
    hash is salted per process.
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
