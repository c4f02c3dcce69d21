"""Everything that people hear: the announcer, the spoken hints and the broadcasts."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial
from pathlib import Path

from config.catalogue import Catalogue
from config.settings import Settings
from drivers.contract import Speaker
from edge_agent.box.wall_clock import WallClock
from edge_agent.records.recorder import PassageRecorder
from edge_agent.screen.view_state import ViewState
from edge_agent.speech.announcer import Announcer
from edge_agent.speech.broadcasts.audio_store import AudioStore
from edge_agent.speech.broadcasts.player import BroadcastPlayer
from edge_agent.speech.broadcasts.saved_broadcasts import BroadcastFile
from edge_agent.speech.broadcasts.sound import make_sound
from edge_agent.speech.hints import HintSpeaker
from sync.mqtt.broker_address import parse_broker_url


class Speech:
    """Owns all that uses the speaker. Raises SettingsError or DriverError when a clip cannot be used."""

    def __init__(
        self,
        speaker: Speaker,
        catalogue: Catalogue,
        view_state: ViewState,
        settings: Settings,
        *,
        recorder: PassageRecorder,
        clock: WallClock,
    ) -> None:
        def local_now() -> datetime:
            return clock.now().wall.astimezone()

        self.announcer = Announcer(speaker, catalogue, view_state, settings.announcer, now=local_now)
        self.broadcasts = BroadcastPlayer(
            self.announcer,
            view_state,
            partial(make_sound, store=audio_store(settings)),
            BroadcastFile(Path(settings.box.data_dir) / "broadcasts.json"),
            note_played=recorder.played,
            now=local_now,
            certain=lambda: clock.now().error_s is not None,
        )
        self._hints = HintSpeaker(view_state, self.announcer, catalogue, settings.announcer.hint_after_s)

    async def run(self) -> None:
        """Speak hints and broadcasts until cancelled; prompts are spoken by the passage loop."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hints.run(), name="hints")
            tasks.create_task(self.broadcasts.run(), name="broadcasts")


def audio_store(settings: Settings) -> AudioStore:
    """The store of broadcast audio, fetched from the platform's host and the hosts in the settings."""
    hosts = {parse_broker_url(settings.platform.url).at.host, *settings.announcer.audio_hosts}
    return AudioStore(Path(settings.box.data_dir) / "broadcasts", settings.announcer.cache_mb * 1_000_000, hosts)
