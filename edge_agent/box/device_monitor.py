"""Monitors devices and link: shows their state, raises one alarm when a device is lost and one when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count

from drivers.contract import Camera, Part, PartState, Thermometer
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
    ) -> None:
        self._camera = camera
        self._thermometer = thermometer
        self._parts: tuple[Part, ...] = (camera, thermometer, *others)
        self._link = link
        self._view_state = view_state
        self._recorder = recorder
        self._lost: set[str] = set()

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
        return (*(PartView(part.name, part.health.state.value, part.health.detail) for part in self._parts), *disk)

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
        if health.state in _UNUSABLE and part.name not in self._lost:
            self._lost.add(part.name)
            await self._recorder.alarm("part_lost", part.name, health.detail)
        elif health.state is PartState.OK and part.name in self._lost:
            self._lost.remove(part.name)
            await self._recorder.alarm("part_back", part.name)
