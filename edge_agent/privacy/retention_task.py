"""Deletes personal data whose retention time is over."""

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
    """Deletes expired data once an hour and records the deletion in the ledger.

    Nothing is deleted by a clock that is not in sync, nor by a date that such a clock gave.
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
        """Delete expired data now and every hour until cancelled."""
        while True:
            try:
                await self.forget()
            except StoreFailed as exc:
                log.warning("expired data was not deleted, next try in an hour: %s", exc)
            await rest(_EVERY_S)

    async def forget(self) -> None:
        """Delete the data that is expired now, if the clock is in sync. Raises StoreFailed."""
        if not self._now().in_sync:
            return
        await self._outbox.forget(self._records)
        if statuses := await self._directory.forget(self._directory_s):
            await self._outbox.note_deleted({"directory": statuses})
