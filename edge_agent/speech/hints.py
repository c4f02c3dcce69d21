"""Speaks the hints on the screen that a person does not follow: once after a while, once more after a longer one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from config.catalogue import Catalogue
from edge_agent.screen.view_state import Hint, ScreenView, ViewState
from edge_agent.speech.announcer import Announcer

_TICK_S = 0.25
_TIMES = 2  # how often one hint is spoken to one person
_LONGER = 2.5  # the second time comes after so many times the patience


class HintClock:
    """Knows when a hint is worth saying. Times are monotonic seconds."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._visit = -1
        self._hint: Hint | None = None
        self._since_s = 0.0
        self._spoken: dict[Hint, int] = {}

    def due(self, view: ScreenView, at_s: float) -> Hint | None:
        """The hint to speak now, if any; the answer counts as spoken."""
        if view.visit != self._visit:
            self._visit, self._hint, self._spoken = view.visit, None, {}
        if view.hint is not self._hint:
            self._hint, self._since_s = view.hint, at_s
        if self._hint is None:
            return None
        spoken = self._spoken.get(self._hint, 0)
        patience_s = self._patience_s * (_LONGER if spoken else 1)
        if spoken >= _TIMES or at_s - self._since_s < patience_s:
            return None
        self._spoken[self._hint], self._since_s = spoken + 1, at_s
        return self._hint


class HintSpeaker:
    """Follows the screen and speaks the hints that are due."""

    def __init__(
        self,
        view_state: ViewState,
        announcer: Announcer,
        catalogue: Catalogue,
        patience_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view_state = view_state
        self._announcer = announcer
        self._catalogue = catalogue
        self._clock = HintClock(patience_s)
        self._monotonic = monotonic

    async def run(self) -> None:
        """Speak until cancelled."""
        while True:
            if hint := self._clock.due(self._view_state.view, self._monotonic()):
                await self._announcer.say(self._catalogue.spoken("hint", hint.value))
            await asyncio.sleep(_TICK_S)
