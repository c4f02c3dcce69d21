"""Monitors devices and link: shows their state, and raises an alarm when a device is lost, unstable or back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import count

from drivers.contract import Camera, Part, PartState, Thermometer
from edge_agent.box.loss_damper import LossDamper
from edge_agent.records.recorder import PassageRecorder
from edge_agent.screen.view_state import LinkView, PartView, ViewState

_PERIOD_S = 0.25
_TRY_AGAIN_LOOKS = 12  # every three seconds
_UNUSABLE = {PartState.LOST, PartState.BROKEN}


class DeviceMonitor:
    """Tells which devices are usable now."""

    def __init__(
        self,
        *,
        camera: Camera,
        thermometer: Thermometer,
        others: Sequence[Part],
        link: Callable[[], LinkView],
        view_state: ViewState,
        recorder: PassageRecorder,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._camera = camera
        self._thermometer = thermometer
        self._parts: tuple[Part, ...] = (camera, thermometer, *others)
        self._link = link
        self._view_state = view_state
        self._recorder = recorder
        self._monotonic = monotonic
        self._dampers = {part.name: LossDamper() for part in self._parts}

    @property
    def thermometer_lost(self) -> bool:
        """Whether the thermometer is lost or broken."""
        return self._thermometer.health.state in _UNUSABLE

    @property
    def camera_lost(self) -> bool:
        """Whether the camera is lost or broken."""
        return self._camera.health.state in _UNUSABLE

    def parts(self) -> tuple[PartView, ...]:
        """The state of every device; the disk is one of them while it is full."""
        disk = (PartView("disk", PartState.BROKEN.value, "full"),) if self._recorder.is_full else ()
        return (*map(self._part_view, self._parts), *disk)

    def _part_view(self, part: Part) -> PartView:
        health, damper = part.health, self._dampers[part.name]
        unstable = f"unstable, lost {damper.losses} times" if damper.is_unstable else ""
        detail = "; ".join(filter(None, (health.detail, unstable)))
        return PartView(part.name, health.state.value, detail, health.fault or "")

    async def run(self) -> None:
        """Monitor until cancelled."""
        for look in count():
            self._view_state.show_parts(self.parts(), self._link())
            for part in self._parts:
                await self._note(part)
            if look % _TRY_AGAIN_LOOKS == 0:
                await self._recorder.store_pending()
            await asyncio.sleep(_PERIOD_S)

    async def _note(self, part: Part) -> None:
        health = part.health
        if health.state is PartState.STARTING:
            return
        event = self._dampers[part.name].update(
            is_lost=health.state in _UNUSABLE, detail=health.detail, now_s=self._monotonic()
        )
        if event is not None:
            await self._recorder.alarm(event.kind, part.name, event.detail)
