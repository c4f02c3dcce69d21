"""The register as it is now: what the command line changes counts within a second, and the ledger hears of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from edge_agent.box.wall_clock import WallClock
from edge_agent.faces.gallery import EMPTY, Gallery
from edge_agent.faces.register import FaceRegister
from edge_agent.records.recorder import PassageRecorder
from sync.errors import StoreFailed

log = logging.getLogger(__name__)

_LOOK_S = 1.0  # between two looks at the register
_EXPIRE_S = 60.0
_UNREAD, _LOST = -1, -2  # versions that no register has


class CurrentFaces:
    """Keeps the gallery of one pack."""

    def __init__(
        self,
        register: FaceRegister,
        pack: str,
        recorder: PassageRecorder,
        clock: WallClock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._register = register
        self._pack = pack
        self._recorder = recorder
        self._clock = clock
        self._monotonic = monotonic
        self._gallery = EMPTY
        self._version = _UNREAD
        self._look_at_s = self._expire_at_s = float("-inf")

    async def gallery(self) -> Gallery:
        """Everybody who may be known now, at most a second old; nobody while the register cannot be read or cleared."""
        now_s = self._monotonic()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + _LOOK_S
            try:
                await self._look(now_s)
            except StoreFailed as exc:
                self._lose(exc)
        return self._gallery

    def _lose(self, exc: StoreFailed) -> None:
        """Nobody is known by a register in which a withdrawal could be missed."""
        if self._version != _LOST:
            log.warning("registered faces do not count for now: %s", exc)
        self._gallery, self._version = EMPTY, _LOST

    async def _look(self, now_s: float) -> None:
        expired = 0
        if now_s >= self._expire_at_s:
            self._expire_at_s = now_s + _EXPIRE_S
            expired = await self._register.expire(self._clock.now().wall)
        version = await self._register.version()
        if version == self._version and not expired:
            return
        self._gallery = await self._register.gallery(self._pack, self._clock.now().wall)
        self._version = version
        for event in await self._register.events():
            await self._recorder.alarm(f"face_{event.what}", "faces")
            await self._register.told(event)
