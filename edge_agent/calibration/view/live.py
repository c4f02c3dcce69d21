"""Aligns this box's camera and thermometer on the kiosk's screen, while the agent is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from config.settings import Settings
from drivers.contract import ThermalFrame, Thermometer
from edge_agent.box.devices import camera_from, thermometer_from
from edge_agent.calibration.view.alignment import Alignment
from edge_agent.calibration.view.alignment_page import AlignRoutes
from edge_agent.calibration.view.view_file import ViewCalibration, save_view
from edge_agent.kiosk.serving import guarded, serve
from edge_agent.measurement.camera_to_thermal import Size, Touch

HOST = "127.0.0.1"
_READING_LIMIT_S = 2.0

Make = Callable[[tuple[Touch, ...], Size, Size], ViewCalibration]  # touches, sizes of camera picture and thermal frame


async def align_live(settings: Settings, make: Make) -> ViewCalibration:
    """Serve the page until the user saves the alignment that `make` computes from the touches; returns it.

    Raises DriverError and KioskError, also in a group.
    """
    alignment = Alignment(mirror=settings.thermometer.mirror)
    camera, thermometer = camera_from(settings), thermometer_from(settings)
    saved: asyncio.Future[ViewCalibration] = asyncio.get_running_loop().create_future()

    def save(camera_size: Size) -> None:
        made = make(alignment.touches, camera_size, alignment.thermal_size)
        save_view(made, Path(settings.box.data_dir))
        if not saved.done():
            saved.set_result(made)

    application = guarded(HOST)
    AlignRoutes(alignment, camera, thermometer, save).add_to(application.router)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(camera.run(), name=camera.name),
            tasks.create_task(thermometer.run(), name=thermometer.name),
            tasks.create_task(_feed(thermometer, alignment), name="readings"),
            tasks.create_task(serve(application, HOST, settings.kiosk.port), name="page"),
        ]
        made = await saved
        for task in running:
            task.cancel()
    return made


async def _feed(thermometer: Thermometer, alignment: Alignment) -> None:
    """Pass every thermal frame to `alignment`; drop the old ones when no new one arrives."""
    sequence = 0
    while True:
        try:
            async with asyncio.timeout(_READING_LIMIT_S):
                sequence, reading = await thermometer.readings.after(sequence)
        except TimeoutError:
            alignment.clear_thermal()
        else:
            if isinstance(reading, ThermalFrame):
                alignment.add_thermal(reading)
