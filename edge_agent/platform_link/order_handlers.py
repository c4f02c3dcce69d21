"""What this box does when the platform orders something; signatures, repeats and ages were checked before."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from config.errors import SettingsError
from config.settings import Settings
from edge_agent.box.remote_settings import save_remote_settings
from edge_agent.box.wall_clock import WallClock
from edge_agent.policy.active_policy import ActivePolicy, PolicyRefused
from edge_agent.policy.rules import Policy
from edge_agent.speech.broadcasts.broadcast import Broadcast, TakesBroadcasts
from sync.contract import orders as wire
from sync.edge.directory.directory import Directory
from sync.edge.orders.receiver import OrderHandlers
from sync.errors import OrderUnfit

_LAST_WORD_S = 1.0  # between the order to restart and the end, for the answer to go out


class OrderExecutor:
    """Carries out what the platform orders."""

    def __init__(
        self,
        *,
        settings: Settings,
        policies: ActivePolicy,
        directory: Directory,
        bulletins: TakesBroadcasts,
        clock: WallClock,
        report: Callable[[], Awaitable[dict[str, object]]],
    ) -> None:
        self._settings = settings
        self._policies = policies
        self._directory = directory
        self._bulletins = bulletins
        self._clock = clock
        self._report = report

    def handlers(self) -> OrderHandlers:
        """What the city link calls."""
        return OrderHandlers(
            self._apply,
            {"status": self._status, "refetch-directory": self._refetch, "restart": self._restart},
            self._tell,
        )

    async def _apply(self, desired: wire.Desired) -> bool:
        """Take all of it or nothing; the disk holds it then."""
        try:
            now = self._clock.now().wall
            policy = None if desired.policy is None else msgspec.convert(desired.policy, Policy, strict=True)
            if policy is not None:
                self._policies.check(policy, now)
            restart_needed = save_remote_settings(self._settings, desired.settings)
            if policy is not None:
                self._policies.adopt(policy, desired.effective, now)
        except (msgspec.ValidationError, SettingsError, PolicyRefused, OSError) as exc:
            raise OrderUnfit(str(exc)) from exc
        return restart_needed

    async def _status(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        return await self._report()

    async def _refetch(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        await self._directory.start_again()
        return {}

    async def _restart(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        """End in an orderly way; systemd starts the agent again."""
        asyncio.get_running_loop().call_later(_LAST_WORD_S, os.kill, os.getpid(), signal.SIGTERM)
        return {}

    def _tell(self, said: wire.Broadcast | wire.Withdrawal) -> None:
        if isinstance(said, wire.Withdrawal):
            self._bulletins.withdraw(said.broadcast_id)
        else:
            self._bulletins.offer(msgspec.convert(msgspec.to_builtins(said), Broadcast))
