"""Sends systemd keep-alives as long as no task is stalled (sd_notify).

Every named task is watched and must be resumed now and then, whatever it waits for. The task factory counts the steps
(`task_progress.py`), so a task only has to wake every few seconds. A task that waits for a stuck thread, a blocked disk
or an answer that never arrives takes no step. A blocked event loop also stops this task, and systemd's own timeout
ends the process.
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
LIMIT = 15  # looks without a step: longer than any wait for an answer of the broker
_LAST = "kiosk"  # the last task to start: the agent is ready when it runs

_LOG = logging.getLogger(__name__)


class Notifier:
    """Sends sd_notify messages to systemd's datagram socket; without a socket it sends nothing."""

    def __init__(self, address: str) -> None:
        """`address` is a path, or @NAME for an abstract socket; "" sends nothing."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    @classmethod
    def from_environment(cls) -> Notifier:
        """The socket named by NOTIFY_SOCKET, removed from the environment so that children do not inherit it."""
        return cls(os.environ.pop("NOTIFY_SOCKET", ""))

    def notify(self, *lines: str) -> None:
        """Send `lines`, each NAME=value."""
        if self._address:
            try:
                self._socket.sendto("\n".join(lines).encode(), self._address)
            except OSError as exc:
                _LOG.warning("sd_notify failed: %s", exc.strerror)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Watchdog:
    """Checks all named tasks every second; counts checks, not seconds, so that a paused machine reports no stall."""

    def __init__(
        self, notifier: Notifier, status: str, limits: Mapping[str, int] | None = None, limit: int = LIMIT
    ) -> None:
        """`status` is shown by `systemctl status`; `limits` has the looks for tasks with another limit."""
        self._notifier = notifier
        self._status = status
        self._limits = limits or {}
        self._limit = limit
        self._seen: dict[asyncio.Task[Any], tuple[int, int]] = {}  # steps, and looks since the last step
        self._ready = False
        self._stalled: tuple[str, ...] = ()

    async def run(self) -> None:
        """Watch until cancelled; sends READY at the first look that finds the kiosk running."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                show_names()
                self._report(self.look())
        finally:
            self._notifier.notify("STOPPING=1")
            self._notifier.close()

    def look(self) -> tuple[str, ...]:
        """The stalled tasks by name, each with the file and line where it waits."""
        seen = {}
        stalled = []
        for task, work in loops().items():
            steps, looks = self._seen.get(task, (-1, 0))
            looks = looks + 1 if work.steps == steps else 0
            seen[task] = work.steps, looks
            if looks >= self._limits.get(task.get_name(), self._limit):
                stalled.append(f"{task.get_name()} ({work.where})")
        self._seen = seen
        return tuple(sorted(stalled))

    def _report(self, stalled: tuple[str, ...]) -> None:
        if stalled != self._stalled:
            self._stalled = stalled
            if stalled:
                _LOG.error("watchdog: stalled: %s", ", ".join(stalled))
                self._notifier.notify(f"STATUS=stalled: {', '.join(stalled)}", "WATCHDOG=trigger")
            else:
                _LOG.warning("watchdog: all tasks are running again")
        if not stalled:
            self._notifier.notify("WATCHDOG=1")
        if not self._ready and any(task.get_name() == _LAST for task in self._seen):
            self._ready = True
            self._notifier.notify("READY=1", f"STATUS={self._status}, {len(self._seen)} loops")
