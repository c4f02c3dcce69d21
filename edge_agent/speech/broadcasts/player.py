"""Shows and plays the queued broadcasts when they are due."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

import msgspec

from drivers.contract import Clip
from edge_agent.screen.view_state import Notice, ViewState
from edge_agent.speech.broadcasts.broadcast import OfferResult, PlaybackResult, PlaysBroadcasts, shown
from edge_agent.speech.broadcasts.errors import NoSound
from edge_agent.speech.broadcasts.queue import BroadcastQueue
from edge_agent.speech.broadcasts.saved_broadcasts import BroadcastFile
from sync.contract.orders import Broadcast

EMERGENCY_PAUSE_S = 10.0  # pause between two announcements, so that a prompt can be heard
SHOWN_S = 20.0  # how long a broadcast without sound is shown
_TICK_S = 0.5

_LOG = logging.getLogger(__name__)

MakeSound = Callable[[Broadcast, tuple[str, ...]], Awaitable[Clip]]


class NotePlayed(Protocol):
    """Records which broadcast was played."""

    async def __call__(self, broadcast_id: str, *, emergency: bool, heard: bool) -> None: ...


class BroadcastPlayer:
    """Owns the queue; plays its broadcasts one by one, emergencies first, then in order of waiting time."""

    def __init__(
        self,
        announcer: PlaysBroadcasts,
        view_state: ViewState,
        make_sound: MakeSound,
        file: BroadcastFile,
        *,
        note_played: NotePlayed,
        now: Callable[[], datetime],
        certain: Callable[[], bool],
    ) -> None:
        """`now` gives the local time, with its zone, and `certain` whether it is confirmed.

        Saved broadcasts are queued again.
        """
        self._announcer = announcer
        self._view_state = view_state
        self._make_sound = make_sound
        self._file = file
        self._note_played = note_played
        self._now = now
        self._certain = certain
        self._queue = BroadcastQueue()
        self._queue.restore(file.load(), view_state.default_languages, now(), certain=certain())
        self._saved = self._queue.kept()
        self._playing: Broadcast | None = None
        self._last_silent = ""
        self._last_unusable = ""
        self._emergency_noted: tuple[str, bool] | None = None

    def offer(self, broadcast: Broadcast) -> OfferResult:
        """Queue a broadcast; returns whether it was accepted."""
        answer = self._queue.take(broadcast, self._view_state.default_languages, self._now(), certain=self._certain())
        self._queue.counters[f"offered_{answer.value}"] += 1
        return answer

    def withdraw(self, broadcast_id: str) -> bool:
        """Remove a broadcast from the queue; one that is playing is not interrupted. False where it is not queued."""
        if self._playing is not None and self._playing.broadcast_id == broadcast_id:
            self._playing = None  # not repeated after an emergency interrupts it
        return self._queue.strike(broadcast_id)

    async def run(self) -> None:
        """Play what is due until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat(self._play_emergency, EMERGENCY_PAUSE_S), name="emergencies")
            tasks.create_task(self._repeat(self._play_due, 0.0), name="broadcasts")
            tasks.create_task(self._save_changes(), name="memory of broadcasts")

    def status(self) -> dict[str, object]:
        """State of the queue and counters, without texts."""
        return {
            **self._queue.status(),
            "last_without_sound": self._last_silent,
            "last_unusable_audio": self._last_unusable,
        }

    async def _save_changes(self) -> None:
        """Save the queue within half a second of a change."""
        while True:
            if (state := self._queue.kept()) != self._saved:
                await asyncio.to_thread(self._file.save, state)
                self._saved = state
            await asyncio.sleep(_TICK_S)

    async def _repeat(self, play: Callable[[], Awaitable[bool]], pause_s: float) -> None:
        while True:
            self._look()
            await asyncio.sleep(pause_s if await play() else _TICK_S)

    def _look(self) -> None:
        """Update queue and screen for the current time."""
        now = self._now()
        self._queue.look(now, quiet=self._is_quiet(), certain=self._certain())
        emergency = self._queue.emergency(now)
        self._view_state.show_notices(_notice(emergency, "") if emergency else None, self._bulletin(now))

    def _bulletin(self, now: datetime) -> Notice | None:
        """The broadcast that is playing, else the next one."""
        if self._playing is not None:
            return _notice(self._playing, "")
        coming = self._queue.coming(now)
        return _notice(coming[1], coming[0].strftime("%H:%M")) if coming else None

    async def _play_emergency(self) -> bool:
        broadcast = self._queue.emergency(self._now())
        if broadcast is None:
            return False
        clip = await self._sound(broadcast)
        heard = clip is not None and await self._announcer.emergency(clip, self._view_state.default_languages[0])
        if self._emergency_noted != (broadcast.broadcast_id, heard):
            await self._note_played(broadcast.broadcast_id, emergency=True, heard=heard)
            self._emergency_noted = broadcast.broadcast_id, heard
        return True

    async def _play_due(self) -> bool:
        if self._is_quiet() or self._view_state.view.emergency is not None:
            return False
        broadcast = self._queue.pop_due()
        if broadcast is None:
            return False
        self._playing = broadcast
        self._look()
        try:
            clip = await self._sound(broadcast)
            heard = (
                PlaybackResult.NOT
                if clip is None
                else await self._announcer.broadcast(clip, self._view_state.default_languages[0])
            )
            await self._note_played(broadcast.broadcast_id, emergency=False, heard=heard is PlaybackResult.WHOLE)
            if heard is PlaybackResult.NOT:
                await asyncio.sleep(SHOWN_S)
            if heard is PlaybackResult.CUT_SHORT and self._playing is not None:
                self._queue.again(broadcast, self._now())
        finally:
            self._playing = None
        return True

    async def _sound(self, broadcast: Broadcast) -> Clip | None:
        """The sound of a broadcast: its audio, its text where the audio cannot be used; None where neither can."""
        if broadcast.audio is not None:
            try:
                return await self._make_sound(broadcast, self._view_state.default_languages)
            except NoSound as exc:
                self._queue.counters["text_instead_of_audio"] += 1
                self._last_unusable = self._note(exc, self._last_unusable, broadcast, "its text is spoken instead")
        try:
            spoken = msgspec.structs.replace(broadcast, audio=None)
            return await self._make_sound(spoken, self._view_state.default_languages)
        except NoSound as exc:
            self._queue.counters["without_sound"] += 1
            self._last_silent = self._note(exc, self._last_silent, broadcast, "it is only shown")
            return None

    @staticmethod
    def _note(exc: NoSound, last: str, broadcast: Broadcast, effect: str) -> str:
        """Log a reason that differs from the last one; returns it."""
        if str(exc) != last:
            _LOG.warning("broadcast %s: %s; %s", broadcast.broadcast_id, exc, effect)
        return str(exc)

    def _is_quiet(self) -> bool:
        return self._announcer.is_quiet(self._now().time())


def _notice(broadcast: Broadcast, at: str) -> Notice:
    return Notice({language: shown(text) for language, text in broadcast.texts.items()}, at)
