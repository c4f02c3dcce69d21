"""What a box with a turned or damaged camera finds, from the stream to the mask state."""

from __future__ import annotations

import asyncio

import cv2
import pytest

from config.settings import CameraSettings, Settings
from drivers.camera.camera import make_camera
from drivers.contract import PartState
from drivers.simulated.devices.camera import SimulatedCamera
from edge_agent.diagnostics.metrics import Metrics
from edge_agent.measurement.assembly import make_face_detection
from edge_agent.runtime.background import background
from models.detections import MaskState
from tests.drawn import bare_face
from tests.drivers.driver_bench import running, state
from tests.limits import HANG_S


@pytest.mark.parametrize("rotate", [0, 180])
async def test_a_camera_upside_down_gives_no_mask_state_until_it_is_set(rotate: int) -> None:
    on_its_head = cv2.rotate(bare_face(), cv2.ROTATE_180)
    async with SimulatedCamera(lambda: on_its_head, seed=1) as simulated:
        camera = make_camera(source=simulated.url, rotate_deg=rotate)
        settings = Settings(camera=CameraSettings(source=simulated.url, rotate=rotate))
        loop = make_face_detection(settings, camera, Metrics())
        async with running(camera), background(loop.run()):
            sequence, masks = 0, []
            while len(masks) < 6:
                sequence, seen = await asyncio.wait_for(loop.detections.after(sequence), HANG_S)
                masks += [face.mask and face.mask.best for face in seen.faces]
            if rotate:
                await state(camera, PartState.OK)
                assert set(masks) == {MaskState.NONE}
            else:
                await state(camera, PartState.BROKEN)
                assert "set [camera] rotate = 180" in camera.health.detail
                assert set(masks) == {None}
