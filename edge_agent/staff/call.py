"""A person at the screen calls staff."""

from __future__ import annotations

from edge_agent.box.wall_clock import WallClock
from edge_agent.records.recorder import PassageRecorder
from edge_agent.screen.view_state import ViewState
from edge_agent.speech.announcer import Announcer


class StaffCall:
    """Raises one alarm per call and announces that staff will help; further touches during the call have no effect."""

    def __init__(self, view_state: ViewState, ledger: PassageRecorder, clock: WallClock, announcer: Announcer) -> None:
        self._view_state = view_state
        self._ledger = ledger
        self._clock = clock
        self._announcer = announcer

    async def call(self) -> None:
        """Call staff."""
        if not self._view_state.call_staff():
            return
        await self._ledger.alarm(self._clock.now(), "staff_wanted", "kiosk", "")
        await self._announcer.say("staff_will_help")
