"""A person at the screen calls staff."""

from __future__ import annotations

from edge_agent.records.recorder import PassageRecorder
from edge_agent.screen.view_state import ViewState
from edge_agent.speech.announcer import Announcer


class StaffCall:
    """Raises one alarm per call and announces that staff will help; further touches during the call have no effect."""

    def __init__(self, view_state: ViewState, recorder: PassageRecorder, announcer: Announcer) -> None:
        self._view_state = view_state
        self._recorder = recorder
        self._announcer = announcer

    async def call(self) -> None:
        """Call staff."""
        if not self._view_state.call_staff():
            return
        await self._recorder.alarm("staff_wanted", "kiosk")
        await self._announcer.say("staff_will_help")
