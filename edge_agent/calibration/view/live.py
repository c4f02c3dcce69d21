"""Aligns this box's camera and thermometer on a page, while the agent is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from config.settings import Settings
from drivers.camera.camera import make_camera
from drivers.contract import ThermalFrame, Thermometer
from drivers.thermometers.table import make_thermometer
from edge_agent.calibration.view.alignment import Alignment
from edge_agent.calibration.view.alignment_page import AlignRoutes
from edge_agent.calibration.view.view_file import ViewCalibration, save_view
from edge_agent.kiosk.serving import guarded, serve
from edge_agent.measurement.camera_to_thermal import Size, Touch

HOST = "127.0.0.1"
_NEWS_LIMIT_S = 2.0

Make = Callable[[tuple[Touch, ...], Size, Size], ViewCalibration]  # touches, sizes of camera and thermal picture


async def align_live(settings: Settings, make: Make) -> ViewCalibration:
    """Serve the page until somebody there keeps what `make` makes of the touches; returns it.

    Raises DriverError and KioskError, also in a group.
    """
    alignment = Alignment(mirror=settings.thermometer.mirror)
    camera = make_camera(
        source=settings.camera.source,
        width=settings.camera.width,
        height=settings.camera.height,
        fps=settings.camera.fps,
    )
    thermometer = make_thermometer(
        driver=settings.thermometer.driver,
        port=settings.thermometer.port,
        baud=settings.thermometer.baud,
        mirror=settings.thermometer.mirror,
    )
    kept: asyncio.Future[ViewCalibration] = asyncio.get_running_loop().create_future()

    def keep_once(camera_size: Size) -> None:
        made = make(alignment.touches, camera_size, alignment.thermal_size)
        save_view(made, Path(settings.box.data_dir))
        if not kept.done():
            kept.set_result(made)

    application = guarded(HOST)
    AlignRoutes(alignment, camera, thermometer, keep_once).add_to(application.router)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(camera.run(), name=camera.name),
            tasks.create_task(thermometer.run(), name=thermometer.name),
            tasks.create_task(_feed(thermometer, alignment), name="readings"),
            tasks.create_task(serve(application, HOST, settings.kiosk.port), name="page"),
        ]
        made = await kept
        for task in running:
            task.cancel()
    return made


async def _feed(thermometer: Thermometer, alignment: Alignment) -> None:
    """Hand every thermal picture on; where none comes, the old ones count no longer."""
    sequence = 0
    while True:
        try:
            async with asyncio.timeout(_NEWS_LIMIT_S):
                sequence, reading = await thermometer.readings.after(sequence)
        except TimeoutError:
            alignment.lose_thermal()
        else:
            if isinstance(reading, ThermalFrame):
                alignment.feel(reading)
