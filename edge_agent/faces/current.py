"""The current galleries: changes made by the command line apply within a second and are recorded in the ledger."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from edge_agent.box.wall_clock import WallClock
from edge_agent.faces.gallery import Galleries
from edge_agent.faces.register import FaceRegister
from edge_agent.records.recorder import PassageRecorder
from models.recognition.embedding import FaceEmbedders
from sync.errors import StoreFailed

log = logging.getLogger(__name__)

_RELOAD_S = 1.0  # between two checks of the register
_EXPIRE_S = 60.0
_NOT_READ, _UNREADABLE = -1, -2  # not valid versions of a register


class CurrentFaces:
    """The galleries of one model pack, reloaded when the register changes."""

    def __init__(
        self,
        register: FaceRegister,
        embedders: FaceEmbedders,
        recorder: PassageRecorder,
        clock: WallClock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._register = register
        self._packs = (embedders.whole.name, None if embedders.upper is None else embedders.upper.name)
        self._recorder = recorder
        self._clock = clock
        self._monotonic = monotonic
        self._galleries = Galleries()
        self._version = _NOT_READ
        self._clock_known = True
        self._reload_at_s = self._expire_at_s = float("-inf")

    async def galleries(self) -> Galleries:
        """The galleries, at most one second old, with consents judged once a minute.

        Empty while the register cannot be read, or while the clock cannot tell whether a consent is valid.
        """
        now_s = self._monotonic()
        if now_s >= self._reload_at_s:
            self._reload_at_s = now_s + _RELOAD_S
            try:
                await self._reload(now_s)
            except StoreFailed as exc:
                self._clear(exc)
        return self._galleries

    def _clear(self, exc: StoreFailed) -> None:
        """Use empty galleries: an outdated one could contain a withdrawn face."""
        if self._version != _UNREADABLE:
            log.warning("face recognition is suspended: %s", exc)
        self._galleries, self._version = Galleries(), _UNREADABLE

    def _note_clock(self, *, known: bool) -> None:
        if known is not self._clock_known:
            log.warning(
                "face recognition is resumed: the clock is confirmed"
                if known
                else "face recognition is suspended: the clock is not confirmed, so a consent may have expired"
            )
        self._clock_known = known

    async def _reload(self, now_s: float) -> None:
        due, now = now_s >= self._expire_at_s, self._clock.now()
        if due:
            self._expire_at_s = now_s + _EXPIRE_S
            self._note_clock(known=now.latest is not None)
            await self._register.expire(now)
        version = await self._register.version()
        if version == self._version and not due:
            return
        self._galleries = await self._register.galleries(*self._packs, now)
        self._version = version
        for event in await self._register.events():
            await self._recorder.alarm(f"face_{event.what}", "faces")
            await self._register.delete_event(event)
