"""Owns the speaker: an emergency precedes a prompt, a prompt precedes a broadcast; callers never wait for sound."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from datetime import time as clock_time

import msgspec
import numpy as np

from config.catalogue import LANGUAGES, Catalogue, prompt_file
from config.settings import AnnouncerSettings
from drivers.audio.sound import RATE_HZ
from drivers.audio.sound_file import load_clip
from drivers.contract import Clip, Speaker
from drivers.errors import DriverError
from edge_agent.domain.passage import Decision
from edge_agent.screen.view_state import ViewState
from edge_agent.speech.broadcasts.broadcast import PlaybackResult
from edge_agent.speech.volume_schedule import FULL_VOLUME, VolumeSchedule

FIRST_SAMPLE_LIMIT_S = 0.5  # a device that has not started to play by then does not delay the passage
OVERTIME_S = 2.0  # allowance beyond the length of a broadcast
PLAYED_KEPT = 100
_HUSH = Clip("hush", np.zeros(1, np.int16), RATE_HZ)  # replaces a broadcast that must end


class Played(msgspec.Struct, frozen=True):
    """One sound that was to be played: `kind` is prompt, broadcast or emergency."""

    at: datetime
    kind: str
    name: str
    language: str
    heard: bool


class Announcer:
    """Speaks in the language of the screen; remembers what was played when, newest last.

    Raises SettingsError or DriverError when the catalogue or a clip cannot be used.
    """

    def __init__(
        self,
        speaker: Speaker,
        catalogue: Catalogue,
        view_state: ViewState,
        settings: AnnouncerSettings,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` gives the local time."""
        self.hours = VolumeSchedule(settings)
        self._speaker = speaker
        self._catalogue = catalogue
        self._view_state = view_state
        self._repeat_s = settings.repeat_s
        self._now = now
        self._monotonic = monotonic
        self._clips = {
            (prompt, language): load_clip(prompt_file(prompt, language))
            for language in LANGUAGES
            for prompt in catalogue.prompts
        }
        self._said: dict[str, tuple[int, float]] = {}
        self._emergency = False
        self._emergencies = 0
        self._played: deque[Played] = deque(maxlen=PLAYED_KEPT)
        self._counters: Counter[str] = Counter()

    def prompt_for(self, decision: Decision) -> str | None:
        """The prompt for a decision's first reason, None where it is only shown.

        The catalogue gives private reasons one common prompt: a colour, a result or a list is never spoken.
        """
        return self._catalogue.spoken("reason", decision.reasons[0].value)

    async def say(self, prompt: str | None) -> float | None:
        """Start a prompt; returns the monotonic second of its first sample, None where nothing is heard.

        Nothing is played during an emergency, or if the same person heard the prompt within `repeat_s`.
        """
        if prompt is None:
            return None
        if self._emergency:
            self._counters["held_by_emergency"] += 1
            return None
        view, now_s = self._view_state.view, self._monotonic()
        visit, said_s = self._said.get(prompt, (-1, 0.0))
        if visit == view.visit and now_s - said_s < self._repeat_s:
            self._counters["repeats_left_out"] += 1
            return None
        self._said[prompt] = view.visit, now_s
        self._speaker.set_volume(self.hours.volume(self._time()))
        started_s = await self._start(self._speaker.play(self._clips[prompt, view.language]))
        self._note("prompt", prompt, view.language, started_s)
        return started_s

    def is_quiet(self, at: clock_time) -> bool:
        """Whether no broadcast but an emergency may be played at this time of day."""
        return self.hours.is_quiet(at)

    async def broadcast(self, clip: Clip, language: str) -> PlaybackResult:
        """Play `clip` for everybody and return when it is over; prompts are heard above it."""
        if self._emergency:
            return PlaybackResult.CUT_SHORT
        emergencies = self._emergencies
        self._speaker.set_volume(self.hours.volume(self._time()))
        started_s = await self._start(self._speaker.broadcast(clip))
        self._note("broadcast", clip.name, language, started_s)
        if started_s is None:
            return PlaybackResult.NOT
        await self._over(clip)
        return PlaybackResult.WHOLE if emergencies == self._emergencies else PlaybackResult.CUT_SHORT

    async def emergency(self, clip: Clip, language: str) -> bool:
        """Play `clip` at full volume in the place of all that sounds; returns when it is over. Whether it was heard."""
        self._emergency = True
        self._emergencies += 1
        try:
            self._speaker.set_volume(FULL_VOLUME)
            await self._start(self._speaker.broadcast(_HUSH))
            started_s = await self._start(self._speaker.play(clip))
            self._note("emergency", clip.name, language, started_s)
            if started_s is not None:
                await self._over(clip)
        finally:
            self._emergency = False
            self._speaker.set_volume(self.hours.volume(self._time()))
        return started_s is not None

    def set_volume(self, share: float) -> None:
        """Make `share` the volume of this part of the day, until the agent restarts."""
        self.hours.set_volume(self._time(), share)
        if not self._emergency:
            self._speaker.set_volume(share)

    def status(self) -> dict[str, object]:
        """Volumes, counts and what was played last, for the status report."""
        return {
            "volume": self.hours.volume(self._time()),
            "quiet_hours": self.hours.is_quiet(self._time()),
            **self._counters,
            "played": [msgspec.to_builtins(played) for played in self._played],
        }

    async def _start(self, playing: Awaitable[float]) -> float | None:
        """The second of the first sample; None where the speaker is lost, muted or lets nothing be heard in time."""
        try:
            async with asyncio.timeout(FIRST_SAMPLE_LIMIT_S):
                started_s = await playing
        except (DriverError, TimeoutError):  # the device monitor reports a lost speaker, once
            started_s = None
        if started_s is None or self._speaker.volume == 0:
            self._counters["unheard"] += 1
            return None
        return started_s

    async def _over(self, clip: Clip) -> None:
        try:
            async with asyncio.timeout(len(clip.samples) / clip.rate_hz + OVERTIME_S):
                await self._speaker.drained()
        except TimeoutError:  # prompts above it took longer, or the device stalled: stop waiting
            self._counters["not_waited_for"] += 1

    def _note(self, kind: str, name: str, language: str, started_s: float | None) -> None:
        self._played.append(Played(self._now(), kind, name, language, started_s is not None))

    def _time(self) -> clock_time:
        return self._now().time()
