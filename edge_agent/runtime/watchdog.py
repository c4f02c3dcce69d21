"""Tells systemd that the agent lives, and only as long as every loop of it moves.

A task that somebody named is a loop and must take a step now and then, whatever it waits for. The event loop counts
steps (`steps.py`), so no loop does anything for it but wake every few seconds. One that waits for a stuck thread, for a
disk that blocks or for an answer that never comes takes none. A blocked event loop stops this task as well, and systemd
notices.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from typing import Any

from edge_agent.runtime.task_progress import loops
from edge_agent.runtime.threads import show_names

LOOK_EVERY_S = 1.0
LIMIT = 15  # looks without a step: longer than any answer of the broker is waited for
_LAST = "kiosk"  # with the screen the agent is ready: whatever else there is started before or with it

_LOG = logging.getLogger(__name__)


class Notifier:
    """systemd's ear, a datagram socket (sd_notify); where there is none nothing is said."""

    def __init__(self, address: str) -> None:
        """`address` is a path, or @name for one without a file; "" is nobody."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    @classmethod
    def from_environment(cls) -> Notifier:
        """The one that systemd named; it is not passed on to what this process starts."""
        return cls(os.environ.pop("NOTIFY_SOCKET", ""))

    def say(self, *lines: str) -> None:
        """Say `lines`, each NAME=value."""
        if self._address:
            try:
                self._socket.sendto("\n".join(lines).encode(), self._address)
            except OSError as exc:
                _LOG.warning("systemd does not listen: %s", exc.strerror)

    def close(self) -> None:
        """Say nothing more."""
        self._socket.close()


class Watchdog:
    """Looks at all loops every second; counts looks and not seconds, so that a box that was paused is not blamed."""

    def __init__(
        self, notifier: Notifier, status: str, limits: Mapping[str, int] | None = None, limit: int = LIMIT
    ) -> None:
        """`status` is for `systemctl status`; `limits` has loops that may rightly stand still for more looks."""
        self._notifier = notifier
        self._status = status
        self._limits = limits or {}
        self._limit = limit
        self._seen: dict[asyncio.Task[Any], tuple[int, int]] = {}  # steps, and looks since there were more
        self._ready = False
        self._stuck: tuple[str, ...] = ()

    async def run(self) -> None:
        """Watch until cancelled; says READY with the first look that finds the screen served."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                show_names()
                self._tell(self.look())
        finally:
            self._notifier.say("STOPPING=1")
            self._notifier.close()

    def look(self) -> tuple[str, ...]:
        """The loops that stand still, by name, each with the line where it waits."""
        seen = {}
        stuck = []
        for task, work in loops().items():
            steps, still = self._seen.get(task, (-1, 0))
            still = still + 1 if work.steps == steps else 0
            seen[task] = work.steps, still
            if still >= self._limits.get(task.get_name(), self._limit):
                stuck.append(f"{task.get_name()} ({work.where})")
        self._seen = seen
        return tuple(sorted(stuck))

    def _tell(self, stuck: tuple[str, ...]) -> None:
        if stuck != self._stuck:
            self._stuck = stuck
            if stuck:
                _LOG.error("watchdog: stands still: %s", ", ".join(stuck))
                self._notifier.say(f"STATUS=stands still: {', '.join(stuck)}", "WATCHDOG=trigger")
            else:
                _LOG.warning("watchdog: every loop moves again")
        if not stuck:
            self._notifier.say("WATCHDOG=1")
        if not self._ready and any(task.get_name() == _LAST for task in self._seen):
            self._ready = True
            self._notifier.say("READY=1", f"STATUS={self._status}, {len(self._seen)} loops")
