"""A speaker that notes what it is told, and a clock that is set by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from config.catalogue import load_catalogue
from config.settings import AnnouncerSettings
from drivers.contract import Clip
from drivers.errors import DeviceLost
from edge_agent.screen.language_choice import LanguageSelector
from edge_agent.screen.view_state import ScreenStage, ViewState
from edge_agent.speech.announcer import Announcer
from tests.limits import HANG_S

CATALOGUE = load_catalogue()
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Clock:
    """Local time and monotonic seconds, both moved by `pass_s`."""

    def __init__(self, now: datetime = NOON) -> None:
        self._now = now
        self.monotonic_s = 1000.0

    def pass_s(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self.monotonic_s += seconds

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self.monotonic_s


class NotingSpeaker:
    """Notes every clip with its voice and volume; a clip lasts until `finish` is called."""

    name = "speaker"

    def __init__(self, clock: Clock) -> None:
        self.heard: list[tuple[str, str, float]] = []
        self.volume = 1.0
        self.lost = False
        self.hangs = False
        self._clock = clock
        self._silent = asyncio.Event()
        self._silent.set()

    def set_volume(self, share: float) -> None:
        self.volume = share

    async def play(self, clip: Clip) -> float:
        return await self._start("prompt", clip)

    async def broadcast(self, clip: Clip) -> float:
        return await self._start("broadcast", clip)

    async def drained(self) -> None:
        await self._silent.wait()

    def finish(self) -> None:
        self._silent.set()

    def names(self) -> list[str]:
        return [name for _, name, _ in self.heard]

    async def _start(self, voice: str, clip: Clip) -> float:
        if self.lost:
            raise DeviceLost("gone")
        if self.hangs:
            await asyncio.Event().wait()
        self.heard.append((voice, clip.name, self.volume))
        if clip.name not in CATALOGUE.prompts:
            self._silent.clear()
        return self._clock.monotonic()


class Room:
    """An announcer with its board, speaker and clock."""

    def __init__(self, clock: Clock | None = None, **settings: object) -> None:
        self.clock = clock or Clock()
        wanted = AnnouncerSettings(**settings)  # type: ignore[arg-type]
        self.board = ViewState(LanguageSelector("zh-CN", wanted.also, wanted.turn_s), self.clock.monotonic)
        self.speaker = NotingSpeaker(self.clock)
        self.announcer = Announcer(
            self.speaker,  # type: ignore[arg-type]
            CATALOGUE,
            self.board,
            wanted,
            now=self.clock.now,
            monotonic=self.clock.monotonic,
        )

    def come(self) -> None:
        """Let the next person arrive."""
        self.board.show(ScreenStage.IDLE)
        self.board.show(ScreenStage.ARRIVAL)


async def until(true: object) -> None:
    """Let the loop turn until `true()` holds."""
    async with asyncio.timeout(HANG_S):
        while not true():  # type: ignore[operator]
            await asyncio.sleep(0.005)
