"""Runs one sentinel until a signal asks it to stop, watched, and in safe mode after too many failed starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from config.errors import SettingsError
from config.settings import Settings
from drivers.errors import DriverError
from edge_agent.app import Sentinel, opened
from edge_agent.box.last_good_settings import (
    InvalidSettings,
    is_service,
    last_good,
    save_good,
    usable_settings,
    well_formed,
)
from edge_agent.box.remote_settings import apply_remote_settings
from edge_agent.kiosk.errors import KioskError
from edge_agent.readiness.can_run import check_can_run
from edge_agent.runtime.crash_counter import HEALTHY_S, CrashCounter
from edge_agent.runtime.task_progress import track_progress
from edge_agent.runtime.threads import touch_shared
from edge_agent.runtime.watchdog import LIMIT, LOOK_EVERY_S, Notifier, Watchdog
from edge_agent.safe_mode import SafeMode
from edge_agent.speech.broadcasts.sound import LONGEST_S
from models.errors import ModelError
from sync.errors import SyncError, leaf_exceptions
from sync.redaction import redact

# Errors that the user can correct: reported as a sentence, without a traceback.
USER_ERRORS = (SettingsError, DriverError, ModelError, SyncError, KioskError)

Touch = Callable[[], Awaitable[None]]

_TOUCH_EVERY_S = 1.0
# These two tasks wait until a sound has ended.
_PLAYING = LIMIT + int(LONGEST_S / LOOK_EVERY_S)
_SLOW = {"emergencies": _PLAYING, "broadcasts": _PLAYING}


async def run_sentinel(config: Path) -> None:
    """Open and run the sentinel until cancelled; an unrequested end counts as a failed start.

    Raises SettingsError where the settings cannot be used; a service starts in safe mode instead.
    """
    track_progress(asyncio.get_running_loop())
    try:
        settings = usable_settings(config, check_can_run)
    except SettingsError as exc:
        if not is_service():
            raise
        invalid = InvalidSettings(config, exc, last_good() or well_formed(config), check_can_run)
        await _run_safely(SafeMode(invalid.good or Settings(), invalid.why, invalid), invalid.why)
        return
    crash_counter = CrashCounter(Path(settings.box.data_dir))
    before = crash_counter.begin()
    try:
        if before.too_many:
            await _run_safely(SafeMode(settings, before.why), before.why)
            crash_counter.allow_full_start()
        else:
            await _run_whole(settings, crash_counter)
    except asyncio.CancelledError:
        crash_counter.reset()
        raise
    except Exception as exc:
        crash_counter.failed("; ".join(dict.fromkeys(_describe(each) for each in leaf_exceptions(exc))))
        raise


async def _run_whole(settings: Settings, crash_counter: CrashCounter) -> None:
    async with opened(apply_remote_settings(settings)) as sentinel, _watched("running", _probes(sentinel)):
        healthy = asyncio.get_running_loop().call_later(HEALTHY_S, _started_well, settings, crash_counter)
        try:
            await sentinel.run()
        finally:
            healthy.cancel()


def _started_well(settings: Settings, crash_counter: CrashCounter) -> None:
    crash_counter.reset()
    save_good(settings)


async def _run_safely(mode: SafeMode, why: str) -> None:
    async with _watched(f"safe mode: {why}", {"kiosk page": mode.kiosk.touch}):
        await mode.run()


@asynccontextmanager
async def _watched(status: str, probes: Mapping[str, Touch]) -> AsyncIterator[None]:
    """Watch every task, and check every second that `probes` answer: some are not used for hours."""
    async with asyncio.TaskGroup() as tasks:
        watchdog = Watchdog(Notifier.from_environment(), status, _SLOW)
        probes = {"shared threads": touch_shared, **probes}
        running = [tasks.create_task(_touch(touch), name=name) for name, touch in probes.items()]
        running.append(tasks.create_task(watchdog.run(), name="watchdog"))
        try:
            yield
        finally:
            for task in running:
                task.cancel()


def _probes(sentinel: Sentinel) -> dict[str, Touch]:
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


def _describe(exc: BaseException) -> str:
    """The message of our own errors; of a bug only its type, because its message may contain personal data."""
    return redact(str(exc)) if isinstance(exc, USER_ERRORS) else type(exc).__name__
