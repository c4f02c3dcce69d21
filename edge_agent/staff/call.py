"""A person at the screen asks for a human."""

from __future__ import annotations

from edge_agent.box.wall_clock import WallClock
from edge_agent.records.recorder import PassageRecorder
from edge_agent.screen.view_state import ViewState
from edge_agent.speech.announcer import Announcer


class StaffCall:
    """One alarm a call, and a word to the person; more touches while the call stands change nothing."""

    def __init__(self, board: ViewState, ledger: PassageRecorder, clock: WallClock, announcer: Announcer) -> None:
        self._board = board
        self._ledger = ledger
        self._clock = clock
        self._announcer = announcer

    async def call(self) -> None:
        """Call staff."""
        if not self._board.call_staff():
            return
        await self._ledger.alarm(self._clock.now(), "staff_wanted", "kiosk", "")
        await self._announcer.say("staff_will_help")
