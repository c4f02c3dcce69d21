"""Simulated street: connects thermometer, QR reader and camera, and plays visitors who come, show a code and leave."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from drivers.simulated.devices.camera import SimulatedCamera
from drivers.simulated.devices.qr import SimulatedQrReader, code_picture
from drivers.simulated.devices.thermal_scene import SimulatedThermometer, WarmFace
from drivers.simulated.devices.wire import PtyWire
from drivers.simulated.people.masks import MaskWear
from drivers.simulated.people.person_image import HEIGHT, WIDTH, Entrance, Portrait, Pose, draw_portrait, face_box
from drivers.simulated.people.scenes import Scene

WALK_S = 0.6
FAR_SHARE = 0.45  # size of a face on entering, as a share of its size when standing
FAR_DROP = 0.12  # how much lower it is then, as a share of the picture height
SWAY_PX = ((0, 0), (1, 0), (1, 1), (0, 1), (-1, 0), (0, -1))
SWAY_HZ = 4.0


@dataclass(slots=True, eq=False)
class Visit:
    """One visitor; times are monotonic seconds."""

    scene: Scene
    portraits: dict[MaskWear, Portrait]
    standing: Pose
    came_s: float
    leaves_s: float | None = None

    def nearness(self, now_s: float) -> float:
        """0 out of view to 1 standing."""
        come = (now_s - self.came_s) / WALK_S
        gone = 0.0 if self.leaves_s is None else (now_s - self.leaves_s) / WALK_S
        return min(1.0, max(0.0, come)) * min(1.0, max(0.0, 1.0 - gone))

    def portrait(self, now_s: float) -> Portrait:
        """The portrait with the mask as worn at `now_s`."""
        stood_s = now_s - self.came_s - WALK_S
        worn = [step.wear for step in self.scene.masks if step.from_s <= stood_s] or [self.scene.masks[0].wear]
        return self.portraits[worn[-1]]

    def pose(self, now_s: float) -> Pose | None:
        """Pose at `now_s`; None when out of view."""
        near = self.nearness(now_s)
        if near <= 0:
            return None
        sway_x, sway_y = SWAY_PX[int(now_s * SWAY_HZ) % len(SWAY_PX)] if near == 1 else (0, 0)
        return Pose(
            centre_x=self.standing.centre_x + sway_x / WIDTH,
            centre_y=self.standing.centre_y + FAR_DROP * (1 - near) + sway_y / HEIGHT,
            face_height=self.standing.face_height * (FAR_SHARE + (1 - FAR_SHARE) * near),
            light=self.standing.light,
        )


class Street:
    """Thermometer, QR reader and camera with a shared scene, open for the duration of the `async with`.

    Creates the links `thermometer` and `qr` in `folder`; the camera is at `camera.url`. The thermometer measures only
    while `run` runs. Faults: `thermometer.unplug()`/`plug()`, `reader.unplug()`/`plug()`, `camera.set_mode(...)`.
    """

    def __init__(self, folder: Path, seed: int = 1, camera_port: int = 0) -> None:
        self._random = Random(seed)  # noqa: S311 - a repeatable street, not a secret
        self._entrance = Entrance(seed)
        self._visit: Visit | None = None
        self._busy = False
        self._code_picture: NDArray[np.uint8] | None = None
        self._closing = AsyncExitStack()
        self.thermometer = SimulatedThermometer(PtyWire(folder / "thermometer"), self._warm_face, seed)
        self.reader = SimulatedQrReader(PtyWire(folder / "qr"))
        self.camera = SimulatedCamera(self._view, seed, camera_port)

    async def __aenter__(self) -> Street:
        async with AsyncExitStack() as stack:
            for device in (self.thermometer, self.reader):
                stack.callback(device.unplug)
                device.plug()
            await stack.enter_async_context(self.camera)
            self._closing = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._closing.aclose()

    async def run(self) -> None:
        """Run the devices until cancelled."""
        await self.thermometer.run()

    async def play(self, scene: Scene, over: asyncio.Event, patience_s: float = 15.0) -> bool:
        """Let one visitor come, stand until `over` is set or patience ends, and go; returns whether `over` was set.

        One visitor at a time.
        """
        if self._busy:
            raise RuntimeError("another visitor is already present")
        self._busy = True
        try:
            portraits = await asyncio.to_thread(_portraits, scene)
            visit = self._visit = Visit(scene, portraits, self._standing_place(), came_s=time.monotonic())
            await asyncio.sleep(WALK_S)
            served = await self._stand(scene, over, patience_s)
            visit.leaves_s = time.monotonic()
            await asyncio.sleep(WALK_S)
        finally:
            self._visit, self._busy = None, False
        return served

    def stand(self, visit: Visit) -> None:
        """Place a visitor who stays."""
        self._visit = visit

    def show_to_camera(self, code: str | None) -> None:
        """Show a code in the lower corner of the camera's picture; None removes it."""
        self._code_picture = None if code is None else code_picture(code)

    async def _stand(self, scene: Scene, over: asyncio.Event, patience_s: float) -> bool:
        stands_s = time.monotonic()
        for at_s in scene.code_shown_at_s:
            if at_s > patience_s or await _set_by(over, stands_s + at_s):
                break
            if scene.code is not None:
                self.reader.show(scene.code)
        return await _set_by(over, stands_s + patience_s)

    def _standing_place(self) -> Pose:
        random = self._random
        return Pose(
            centre_x=0.5 + random.uniform(-0.08, 0.08),
            centre_y=0.45 + random.uniform(-0.03, 0.03),
            face_height=random.uniform(0.36, 0.48),
            light=random.uniform(0.75, 1.0),
        )

    @property
    def face_box_px(self) -> tuple[float, float, float, float] | None:
        """Current box of the visitor's face in the camera's picture (x, y, width, height), None for none."""
        now_s = time.monotonic()
        pose = self._visit.pose(now_s) if self._visit else None
        return face_box(self._visit.portrait(now_s), pose) if self._visit and pose else None

    def _view(self) -> NDArray[np.uint8]:
        now_s, visit = time.monotonic(), self._visit
        scene = self._entrance.view(*((visit.portrait(now_s), visit.pose(now_s)) if visit else (None, None)))
        if self._code_picture is None:
            return scene
        scene = scene.copy()
        height, width = self._code_picture.shape[:2]
        scene[-height:, :width] = self._code_picture
        return scene

    def _warm_face(self) -> WarmFace | None:
        """The visitor's face for the thermal array, which has the same view as the camera."""
        box = self.face_box_px
        if box is None or self._visit is None:
            return None
        x, y, width, height = box
        return WarmFace(
            centre_x=(x + width / 2) / WIDTH,
            centre_y=(y + height / 2) / HEIGHT,
            width=width / WIDTH,
            height=height / HEIGHT,
            skin_max_c=self._visit.scene.skin_max_c,
        )


def _portraits(scene: Scene) -> dict[MaskWear, Portrait]:
    return {step.wear: draw_portrait(scene.person, step.wear) for step in scene.masks}


async def _set_by(event: asyncio.Event, until_s: float) -> bool:
    """Wait for `event` until `until_s` (monotonic); returns whether it is set."""
    try:
        async with asyncio.timeout(max(0.0, until_s - time.monotonic())):
            await event.wait()
    except TimeoutError:
        pass
    return event.is_set()
