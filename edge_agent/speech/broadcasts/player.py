"""Tells everybody what is on the list of broadcasts, by screen and voice, when its time comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

from drivers.contract import Clip
from edge_agent.screen.view_state import Notice, ViewState
from edge_agent.speech.broadcasts.broadcast import OfferResult, PlaybackResult, PlaysBroadcasts, shown
from edge_agent.speech.broadcasts.errors import NoSound
from edge_agent.speech.broadcasts.queue import BroadcastQueue
from edge_agent.speech.broadcasts.saved_broadcasts import BroadcastFile
from sync.contract.orders import Broadcast

EMERGENCY_PAUSE_S = 10.0  # between two sayings, so that a prompt can be heard
SHOWN_S = 20.0  # one without sound stands on the screen for so long
_TICK_S = 0.5

_LOG = logging.getLogger(__name__)

MakeSound = Callable[[Broadcast, tuple[str, ...]], Awaitable[Clip]]


class NotePlayed(Protocol):
    """Whoever keeps what was said when."""

    async def __call__(self, broadcast_id: str, *, emergency: bool, heard: bool) -> None: ...


class BroadcastPlayer:
    """Owns the list; tells its broadcasts one by one, emergencies first, then what waits longest."""

    def __init__(
        self,
        announcer: PlaysBroadcasts,
        view_state: ViewState,
        make_sound: MakeSound,
        memory: BroadcastFile,
        *,
        note_played: NotePlayed,
        now: Callable[[], datetime],
    ) -> None:
        """`now` gives the local time, with its zone. What `memory` kept is on the list again."""
        self._announcer = announcer
        self._view_state = view_state
        self._make_sound = make_sound
        self._memory = memory
        self._note_played = note_played
        self._now = now
        self._listing = BroadcastQueue()
        self._listing.restore(memory.load(), view_state.house, now())
        self._kept = self._listing.kept()
        self._telling: Broadcast | None = None
        self._unheard = ""
        self._emergency_noted: tuple[str, bool] | None = None

    def offer(self, broadcast: Broadcast) -> OfferResult:
        """Take a broadcast on; the answer says what became of it."""
        answer = self._listing.take(broadcast, self._view_state.house, self._now())
        self._listing.counters[f"offered_{answer.value}"] += 1
        return answer

    def withdraw(self, broadcast_id: str) -> bool:
        """Strike a broadcast off; what is being said ends by itself. False where it is not on the list."""
        if self._telling is not None and self._telling.broadcast_id == broadcast_id:
            self._telling = None  # nor is it told again, should an emergency cut it short
        return self._listing.strike(broadcast_id)

    async def run(self) -> None:
        """Tell what is due until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell_forever(self._tell_emergency, EMERGENCY_PAUSE_S), name="emergencies")
            tasks.create_task(self._tell_forever(self._tell_due, 0.0), name="broadcasts")
            tasks.create_task(self._remember(), name="memory of broadcasts")

    def status(self) -> dict[str, object]:
        """What is on the list and what became of the rest, without any text."""
        return {**self._listing.status(), "last_without_sound": self._unheard}

    async def _remember(self) -> None:
        """Keep the list, half a second after it changed at the latest."""
        while True:
            if (kept := self._listing.kept()) != self._kept:
                await asyncio.to_thread(self._memory.save, kept)
                self._kept = kept
            await asyncio.sleep(_TICK_S)

    async def _tell_forever(self, tell: Callable[[], Awaitable[bool]], pause_s: float) -> None:
        while True:
            self._look()
            await asyncio.sleep(pause_s if await tell() else _TICK_S)

    def _look(self) -> None:
        """Bring list and screen up to now."""
        now = self._now()
        self._listing.look(now, quiet=self._is_quiet())
        emergency = self._listing.emergency(now)
        self._view_state.show_notices(_notice(emergency, "") if emergency else None, self._bulletin(now))

    def _bulletin(self, now: datetime) -> Notice | None:
        """What is being told now, else what is told next."""
        if self._telling is not None:
            return _notice(self._telling, "")
        coming = self._listing.coming(now)
        return _notice(coming[1], coming[0].strftime("%H:%M")) if coming else None

    async def _tell_emergency(self) -> bool:
        broadcast = self._listing.emergency(self._now())
        if broadcast is None:
            return False
        clip = await self._sound(broadcast)
        heard = clip is not None and await self._announcer.emergency(clip, self._view_state.house[0])
        if self._emergency_noted != (broadcast.broadcast_id, heard):
            await self._note_played(broadcast.broadcast_id, emergency=True, heard=heard)
            self._emergency_noted = broadcast.broadcast_id, heard
        return True

    async def _tell_due(self) -> bool:
        if self._is_quiet() or self._view_state.view.emergency is not None:
            return False
        broadcast = self._listing.pop_due()
        if broadcast is None:
            return False
        self._telling = broadcast
        self._look()
        try:
            clip = await self._sound(broadcast)
            heard = (
                PlaybackResult.NOT if clip is None else await self._announcer.broadcast(clip, self._view_state.house[0])
            )
            await self._note_played(broadcast.broadcast_id, emergency=False, heard=heard is PlaybackResult.WHOLE)
            if clip is None:
                await asyncio.sleep(SHOWN_S)
            if heard is PlaybackResult.CUT_SHORT and self._telling is not None:
                self._listing.again(broadcast, self._now())
        finally:
            self._telling = None
        return True

    async def _sound(self, broadcast: Broadcast) -> Clip | None:
        try:
            return await self._make_sound(broadcast, self._view_state.house)
        except NoSound as exc:
            self._listing.counters["without_sound"] += 1
            if str(exc) != self._unheard:
                _LOG.warning("broadcast %s is only shown: %s", broadcast.broadcast_id, exc)
            self._unheard = str(exc)
            return None

    def _is_quiet(self) -> bool:
        return self._announcer.is_quiet(self._now().time())


def _notice(broadcast: Broadcast, at: str) -> Notice:
    return Notice({language: shown(text) for language, text in broadcast.texts.items()}, at)
