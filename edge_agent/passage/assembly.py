"""Makes the devices that identify people, and passes on what they read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from config.credentials import secret_path
from config.settings import Settings
from drivers.contract import CardReader, CodeReader, Part
from drivers.readers.health_code import make_code_provider
from edge_agent.box.devices import Devices, code_camera_from
from edge_agent.box.key_files import read_community_key
from edge_agent.domain.passage import Moment
from edge_agent.passage.credentials import CredentialDeduplicator, feed_cards, feed_codes
from edge_agent.passage.person_tracker import PersonTracker


class CredentialReaders:
    """Every device that identifies people: the code reader, the card reader, and the camera where it reads codes.

    Raises SettingsError or DriverError where the settings cannot be used.
    """

    def __init__(self, settings: Settings, devices: Devices, tracker: PersonTracker, now: Callable[[], Moment]) -> None:
        self._now = now
        self.deduplicator = CredentialDeduplicator(tracker)
        self.code_camera = code_camera_from(settings, devices.camera, lambda: tracker.person is not None)
        self._key = read_community_key(secret_path(settings.directory.community_key_file))
        self._provider = make_code_provider(settings.reader.providers)
        self._code_reader: CodeReader = devices.reader
        self._card_reader: CardReader | None = devices.card_reader

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that are not devices of their own: the camera as a reader of codes."""
        return () if self.code_camera is None else (self.code_camera,)

    async def run(self) -> None:
        """Pass credentials to the tracker until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            codes = feed_codes(self._code_reader, self._provider, self._key, self.deduplicator, self._now)
            tasks.create_task(codes, name="codes")
            if self._card_reader is not None:
                cards = feed_cards(self._card_reader, self._key, self.deduplicator, self._now)
                tasks.create_task(cards, name="cards")
            if self.code_camera is not None:
                tasks.create_task(self.code_camera.run(), name=self.code_camera.name)
                seen = feed_codes(
                    self.code_camera, self._provider, self._key, self.deduplicator, self._now, held_up=False
                )
                tasks.create_task(seen, name="codes seen")
