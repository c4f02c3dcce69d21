"""Runs one sentinel until a signal asks it to stop, watched, and in safe mode when its starts went wrong too often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from config.errors import SettingsError
from config.settings import Settings
from drivers.errors import DriverError
from edge_agent.app import Sentinel, opened
from edge_agent.box.last_good_settings import InvalidSettings, is_service, keep_good, last_good, usable_settings
from edge_agent.box.remote_settings import apply_remote_settings
from edge_agent.kiosk.errors import KioskError
from edge_agent.runtime.crash_counter import HEALTHY_S, CrashCounter
from edge_agent.runtime.exceptions import leaf_exceptions
from edge_agent.runtime.task_progress import track_progress
from edge_agent.runtime.threads import touch_shared
from edge_agent.runtime.watchdog import LIMIT, LOOK_EVERY_S, Notifier, Watchdog
from edge_agent.safe_mode import SafeMode
from edge_agent.speech.broadcasts.sound import LONGEST_S
from models.errors import ModelError
from sync.errors import SyncError

# What somebody can put right: told in a sentence, not as a traceback.
MENDABLE = (SettingsError, DriverError, ModelError, SyncError, KioskError)

Touch = Callable[[], Awaitable[None]]

_TOUCH_EVERY_S = 1.0
# These two wait for what they say to be over.
_PLAYING = LIMIT + int(LONGEST_S / LOOK_EVERY_S)
_SLOW = {"emergencies": _PLAYING, "broadcasts": _PLAYING}


async def run_sentinel(config: Path) -> None:
    """Open and run the sentinel until cancelled; an end that nobody asked for counts as a bad start.

    Raises SettingsError where the settings cannot be used; a service, of which nobody reads it, is in safe mode then.
    """
    track_progress(asyncio.get_running_loop())
    try:
        settings = usable_settings(config)
    except SettingsError as exc:
        if not is_service():
            raise
        unusable = InvalidSettings(config, exc, last_good())
        await _run_safely(SafeMode(unusable.good or Settings(), unusable.why, unusable), unusable.why)
        return
    starts = CrashCounter(Path(settings.box.data_dir))
    before = starts.begin()
    try:
        if before.too_many:
            await _run_safely(SafeMode(settings, before.why), before.why)
            starts.allow_full_start()
        else:
            await _run_whole(settings, starts)
    except asyncio.CancelledError:
        starts.reset()
        raise
    except Exception as exc:
        starts.failed("; ".join(dict.fromkeys(_told(each) for each in leaf_exceptions(exc))))
        raise


async def _run_whole(settings: Settings, starts: CrashCounter) -> None:
    async with opened(apply_remote_settings(settings)) as sentinel, _watched("running", _asked_of(sentinel)):
        lasted = asyncio.get_running_loop().call_later(HEALTHY_S, _went_well, settings, starts)
        try:
            await sentinel.run()
        finally:
            lasted.cancel()


def _went_well(settings: Settings, starts: CrashCounter) -> None:
    starts.reset()
    keep_good(settings)


async def _run_safely(mode: SafeMode, why: str) -> None:
    async with _watched(f"safe mode: {why}", {"kiosk page": mode.kiosk.touch}):
        await mode.run()


@asynccontextmanager
async def _watched(status: str, asked: Mapping[str, Touch]) -> AsyncIterator[None]:
    """Watch every loop, and that those `asked` answer: nobody may need them for hours, and the next person does."""
    async with asyncio.TaskGroup() as tasks:
        watchdog = Watchdog(Notifier.from_environment(), status, _SLOW)
        asked = {"shared threads": touch_shared, **asked}
        running = [tasks.create_task(_touch(touch), name=name) for name, touch in asked.items()]
        running.append(tasks.create_task(watchdog.run(), name="watchdog"))
        try:
            yield
        finally:
            for task in running:
                task.cancel()


def _asked_of(sentinel: Sentinel) -> dict[str, Touch]:
    return {
        "ledger file": sentinel.stores.ledger.touch,
        "directory file": sentinel.stores.directory.touch,
        "orders file": sentinel.stores.replay_guard.touch,
        "kiosk page": sentinel.kiosk.touch,
    }


async def _touch(touch: Touch) -> None:
    while True:
        await touch()
        await asyncio.sleep(_TOUCH_EVERY_S)


def _told(exc: BaseException) -> str:
    """Our own sentence; of a bug only its kind, for its message may say anything."""
    return str(exc) if isinstance(exc, MENDABLE) else type(exc).__name__
