"""Lets go of what the box has held of people for long enough."""

from __future__ import annotations

import logging
from collections.abc import Callable

from config.settings import RetentionSettings
from edge_agent.domain.passage import Moment
from sync.edge.directory.directory import Directory
from sync.edge.ledger.ledger import Ledger
from sync.edge.ledger.retention import Retention
from sync.errors import StoreFailed
from sync.interruptible_sleep import rest

log = logging.getLogger(__name__)

_DAY_S = 86_400.0
_EVERY_S = 3600.0


class RetentionTask:
    """Deletes once an hour what is past its retention, and puts it down in the ledger.

    A wrong clock costs nothing that the platform has not got; the replica is emptied only by a clock that is in sync.
    """

    def __init__(
        self, settings: RetentionSettings, outbox: Ledger, directory: Directory, now: Callable[[], Moment]
    ) -> None:
        self._records = Retention(settings.passages_days * _DAY_S, settings.alarms_days * _DAY_S)
        self._directory_s = settings.directory_days * _DAY_S
        self._outbox = outbox
        self._directory = directory
        self._now = now

    async def run(self) -> None:
        """Forget now and every hour, for ever."""
        while True:
            try:
                await self.forget()
            except StoreFailed as exc:
                log.warning("what is past its retention was not deleted, tried again in an hour: %s", exc)
            await rest(_EVERY_S)

    async def forget(self) -> None:
        """Forget what is past its time now. Raises StoreFailed."""
        await self._outbox.forget(self._records)
        if self._now().in_sync and (statuses := await self._directory.forget(self._directory_s)):
            await self._outbox.note_deleted({"directory": statuses})
