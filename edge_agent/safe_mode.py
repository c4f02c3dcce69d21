"""What runs on a box whose starts failed again and again: its screen, and the link by which it can be repaired."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

from config.errors import SettingsError
from config.settings import Settings
from edge_agent.box.last_good_settings import InvalidSettings
from edge_agent.box.wall_clock import WallClock
from edge_agent.diagnostics.status_report import to_plain
from edge_agent.kiosk.server import Kiosk
from edge_agent.platform_link.assembly import accept_orders, make_link
from edge_agent.platform_link.link_settings import link_view, versions
from edge_agent.policy.active_policy import make_active_policy
from edge_agent.screen.view_state import ScreenStage, make_view_state
from edge_agent.speech.broadcasts.broadcast import OfferResult
from edge_agent.stores import opened_stores
from sync.contract.orders import Broadcast
from sync.contract.records import AlarmRaised
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.edge.link.link import PlatformLink
from sync.errors import SyncError

RETRY_AFTER_S = 1800.0  # then the agent is started once more
_SHOW_EVERY_S = 1.0
_LOOK_EVERY_S = 3.0
_ALARM = "settings_unusable"
_NEWEST = 20  # records

_LOG = logging.getLogger(__name__)


class SafeMode:
    """Opens no device and no model. Where the ledger or the link cannot be opened, it logs why and runs without."""

    def __init__(self, settings: Settings, why: str, invalid: InvalidSettings | None = None) -> None:
        """`invalid` is the file that cannot be used; `settings` are then the last good ones, or the defaults."""
        self._settings = settings
        self._why = why
        self._invalid = invalid
        self._view_state = make_view_state(settings)
        self._view_state.show(ScreenStage.OUT_OF_SERVICE)
        if invalid is not None:
            self._view_state.show_notices(None, invalid.notice())
        self._link: PlatformLink | None = None
        self.kiosk = Kiosk(settings.kiosk.host, settings.kiosk.port, self._view_state.views, None, self._report)

    async def run(self, retry_after_s: float = RETRY_AFTER_S) -> None:
        """Run until cancelled, or until the agent is to start again: after `retry_after_s`, or when the file is valid.

        Raises KioskError.
        """
        _LOG.error("safe mode 安全模式: no device is opened: %s", self._why)
        try:
            async with asyncio.timeout(retry_after_s) as limit, AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
                tasks.create_task(self.kiosk.run(), name="kiosk")
                if self._invalid is not None:
                    tasks.create_task(self._until_valid(self._invalid, limit), name="settings")
                    if self._invalid.good is None:
                        return  # the identity of this box is not known: there is no link to open
                try:
                    await self._open_link(stack, tasks)
                except (SettingsError, SyncError) as exc:
                    _LOG.error("safe mode 安全模式: no link to the platform: %s", exc)
        except TimeoutError:
            _LOG.warning("safe mode 安全模式: ended, the agent is started again")

    async def _open_link(self, stack: AsyncExitStack, tasks: asyncio.TaskGroup) -> None:
        settings, clock = self._settings, WallClock()
        stores = await stack.enter_async_context(opened_stores(settings, clock))
        link = make_link(settings, stores.ledger, stores.directory, clock, lambda: {"agent": "safe_mode"})
        accept_orders(
            link,
            settings=settings,
            directory=stores.directory,
            replay_guard=stores.replay_guard,
            policy=make_active_policy(settings),
            broadcasts=NoBroadcasts(),
            clock=clock,
            report=self._report,
        )
        self._link = link
        if self._invalid is not None:
            await _raise_alarm(stores.ledger, self._invalid)
        tasks.create_task(link.run(), name="link")
        tasks.create_task(self._show_link(link, stores.directory), name="screen")

    async def _until_valid(self, invalid: InvalidSettings, limit: asyncio.Timeout) -> None:
        while not invalid.is_valid_now():
            await asyncio.sleep(_LOOK_EVERY_S)
        limit.reschedule(0)

    async def _show_link(self, link: PlatformLink, directory: Directory) -> None:
        while True:
            self._view_state.show_parts((), link_view(link, directory))
            await asyncio.sleep(_SHOW_EVERY_S)

    async def _report(self) -> dict[str, object]:
        return {
            "versions": versions(),
            "safe_mode": self._why,
            "view": to_plain(self._view_state.view),
            "link": None if self._link is None else to_plain(self._link.status()),
        }


async def _raise_alarm(ledger: Ledger, invalid: InvalidSettings) -> None:
    """Raise an alarm about the settings, unless one of the newest records is the same: safe mode starts repeatedly."""
    records = [row.record() for row in await ledger.recent(_NEWEST)]
    raised = {each.detail for each in records if isinstance(each, AlarmRaised) and each.kind == _ALARM}
    if invalid.place not in raised:
        await ledger.alarm(_ALARM, "settings", invalid.place)


class NoBroadcasts:
    """Rejects broadcasts: no speaker is open in safe mode."""

    def offer(self, _broadcast: Broadcast) -> OfferResult:
        """Reject it."""
        return OfferResult.FULL

    def withdraw(self, _broadcast_id: str) -> bool:
        """There is none."""
        return False
