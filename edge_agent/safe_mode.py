"""What still runs on a box that fell again and again: its screen, and the way to the platform that may mend it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path

from config.errors import SettingsError
from config.settings import Settings
from edge_agent.box.key_files import signing_key
from edge_agent.box.last_good_settings import InvalidSettings
from edge_agent.box.wall_clock import WallClock
from edge_agent.diagnostics.status_report import to_plain
from edge_agent.kiosk.server import Kiosk
from edge_agent.platform_link.link_settings import link_settings, link_view, versions
from edge_agent.platform_link.order_handlers import OrderExecutor
from edge_agent.policy.active_policy import ActivePolicy
from edge_agent.policy.rules import load_policy
from edge_agent.screen.language_choice import LanguageSelector
from edge_agent.screen.view_state import ScreenStage, ViewState
from edge_agent.speech.broadcasts.broadcast import Broadcast, OfferResult
from edge_agent.stores import opened_stores
from sync.edge.directory.directory import Directory
from sync.edge.link.link import PlatformLink
from sync.edge.orders.receiver import OrderReceiver
from sync.errors import SyncError

RETRY_AFTER_S = 1800.0  # then the whole agent is tried once more
_SHOW_EVERY_S = 1.0
_LOOK_EVERY_S = 3.0

_LOG = logging.getLogger(__name__)


class SafeMode:
    """Opens no device and no model. What it cannot have either (the ledger, the link) it does without, and says so."""

    def __init__(self, settings: Settings, why: str, unusable: InvalidSettings | None = None) -> None:
        """`unusable` is the file in whose place `settings` are: the last good ones, or those that nobody gave."""
        self._settings = settings
        self._why = why
        self._unusable = unusable
        self._board = ViewState(
            LanguageSelector(settings.speaker.language, settings.announcer.also, settings.announcer.turn_s)
        )
        self._board.show(ScreenStage.OUT_OF_SERVICE)
        if unusable is not None:
            self._board.show_notices(None, unusable.notice())
        self._link: PlatformLink | None = None
        self.kiosk = Kiosk(settings.kiosk.host, settings.kiosk.port, self._board.views, None, self._report)

    async def run(self, retry_after_s: float = RETRY_AFTER_S) -> None:
        """Run until cancelled, or until the whole agent is to be tried again: then, or when the file is mended.

        Raises KioskError.
        """
        _LOG.error("safe mode 安全模式: no device is opened: %s", self._why)
        try:
            async with asyncio.timeout(retry_after_s) as limit, AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
                tasks.create_task(self.kiosk.run(), name="kiosk")
                if self._unusable is not None:
                    tasks.create_task(self._until_mended(self._unusable, limit), name="settings")
                    if self._unusable.good is None:
                        return  # nobody said who this box is: there is no link to open
                try:
                    await self._open_link(stack, tasks)
                except (SettingsError, SyncError) as exc:
                    _LOG.error("safe mode 安全模式: no link to the platform: %s", exc)
        except TimeoutError:
            _LOG.warning("safe mode 安全模式: over, the whole agent is tried again")

    async def _open_link(self, stack: AsyncExitStack, tasks: asyncio.TaskGroup) -> None:
        settings = self._settings
        stores = await stack.enter_async_context(opened_stores(settings))
        clock = WallClock()
        link = PlatformLink(
            link_settings(settings),
            stores.outbox,
            stores.directory,
            versions=versions(),
            boot_id=clock.boot_id,
            parts=lambda: {"agent": "safe_mode"},
        )
        if (key := signing_key(settings)) is not None:
            own_policy = load_policy(Path(settings.policy.file) if settings.policy.file else None)
            here = OrderExecutor(
                settings=settings,
                policies=ActivePolicy(own_policy, Path(settings.box.data_dir) / "policy.json"),
                directory=stores.directory,
                bulletins=NoBroadcasts(),
                clock=clock,
                report=self._report,
            )
            link.listen_to(OrderReceiver(stores.memory, key, here.handlers()))
        self._link = link
        tasks.create_task(link.run(), name="link")
        tasks.create_task(self._show_link(link, stores.directory), name="screen")

    async def _until_mended(self, unusable: InvalidSettings, limit: asyncio.Timeout) -> None:
        while not unusable.is_mended():
            await asyncio.sleep(_LOOK_EVERY_S)
        limit.reschedule(0)

    async def _show_link(self, link: PlatformLink, directory: Directory) -> None:
        while True:
            self._board.show_parts((), link_view(link, directory))
            await asyncio.sleep(_SHOW_EVERY_S)

    async def _report(self) -> dict[str, object]:
        return {
            "versions": versions(),
            "safe_mode": self._why,
            "view": to_plain(self._board.view),
            "link": None if self._link is None else to_plain(self._link.status()),
        }


class NoBroadcasts:
    """Takes no broadcast: nobody could hear it."""

    def offer(self, _broadcast: Broadcast) -> OfferResult:
        """Refuse it."""
        return OfferResult.FULL

    def withdraw(self, _broadcast_id: str) -> bool:
        """There is none."""
        return False
