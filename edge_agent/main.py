"""Runs one sentinel until a signal asks it to stop."""

from __future__ import annotations

from config.errors import SettingsError
from config.settings import Settings
from drivers.errors import DriverError
from edge_agent.app import opened
from edge_agent.kiosk.errors import KioskError
from edge_agent.wanted_settings import as_wanted
from models.errors import ModelError
from sync.errors import SyncError

# What somebody can put right: told in a sentence, not as a traceback.
MENDABLE = (SettingsError, DriverError, ModelError, SyncError, KioskError)


async def run_sentinel(settings: Settings) -> None:
    """Open and run the sentinel until cancelled."""
    async with opened(as_wanted(settings)) as sentinel:
        await sentinel.run()
