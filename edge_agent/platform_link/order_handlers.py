"""Executes the orders of the platform; their signature, age and repetition were checked before."""

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
from edge_agent.readiness.can_run import check_change
from edge_agent.speech.broadcasts.broadcast import TakesBroadcasts
from sync.contract import orders as wire
from sync.edge.directory.directory import Directory
from sync.edge.orders.receiver import OrderHandlers
from sync.errors import OrderUnfit

_ANSWER_S = 1.0  # between the order to restart and the shutdown, for the answer to be sent


class OrderExecutor:
    """Executes desired states, commands and broadcasts."""

    def __init__(
        self,
        *,
        settings: Settings,
        policy: ActivePolicy,
        directory: Directory,
        broadcasts: TakesBroadcasts,
        clock: WallClock,
        report: Callable[[], Awaitable[dict[str, object]]],
        unlock_staff: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._directory = directory
        self._broadcasts = broadcasts
        self._clock = clock
        self._report = report
        self._unlock_staff = unlock_staff

    def handlers(self) -> OrderHandlers:
        """The handlers that the link calls, one for each kind of order."""
        return OrderHandlers(
            self._apply,
            {
                "status": self._status,
                "refetch-directory": self._refetch,
                "restart": self._restart,
                "unlock-staff": self._unlock,
            },
            self._announce,
        )

    async def _apply(self, desired: wire.Desired) -> bool:
        """Apply the policy and the settings, both or neither; they are on the disk when this returns."""
        try:
            now = self._clock.now()
            policy = None if desired.policy is None else msgspec.convert(desired.policy, Policy, strict=True)
            if policy is not None:
                self._policy.check(policy, now)
            restart_needed = await asyncio.to_thread(
                save_remote_settings, self._settings, desired.settings, check_change
            )
            if policy is not None:
                self._policy.apply(policy, desired.effective, now)
        except (msgspec.ValidationError, SettingsError, PolicyRefused, OSError) as exc:
            raise OrderUnfit(str(exc)) from exc
        return restart_needed

    async def _status(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        return await self._report()

    async def _refetch(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        await self._directory.start_again()
        return {}

    async def _restart(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        """Shut down in order; systemd starts the agent again."""
        asyncio.get_running_loop().call_later(_ANSWER_S, os.kill, os.getpid(), signal.SIGTERM)
        return {}

    async def _unlock(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        """End the wait after wrong PINs; the staff view still needs the right one."""
        self._unlock_staff()
        return {}

    def _announce(self, message: wire.Broadcast | wire.Withdrawal) -> None:
        if isinstance(message, wire.Withdrawal):
            self._broadcasts.withdraw(message.broadcast_id)
        else:
            self._broadcasts.offer(message)
