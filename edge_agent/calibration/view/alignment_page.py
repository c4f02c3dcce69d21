"""The routes of the page on which camera and thermometer are aligned.

The page replaces the residents' page while the agent is stopped. An open residents' page reloads because `/events`
reports another edition, and reloads again when the agent answers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from aiohttp import web

from config.settings import Fraction
from drivers.contract import Camera, Part, PartState, Thermometer
from edge_agent.calibration.errors import BadCalibration
from edge_agent.calibration.view.alignment import PLACES, Alignment
from edge_agent.kiosk.guard import is_from_this_machine
from edge_agent.kiosk.serving import file_response, json_response, read_page
from edge_agent.kiosk.touch import read_body
from edge_agent.measurement.camera_to_thermal import Point, Size
from edge_agent.screen.camera_jpeg import CameraJpeg

PAGE_DIR = Path(__file__).parent / "align_page"
_CORNERS: tuple[Point, ...] = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


class _Touch(msgspec.Struct, forbid_unknown_fields=True):
    x: Fraction
    y: Fraction


class AlignRoutes:
    """Serves `alignment` and the newest pictures; `save` stores the finished alignment for a camera picture size."""

    def __init__(
        self, alignment: Alignment, camera: Camera, thermometer: Thermometer, save: Callable[[Size], None]
    ) -> None:
        self._alignment = alignment
        self._camera = camera
        self._thermometer = thermometer
        self._save_alignment = save
        self._picture = CameraJpeg(camera.frames)
        self._page = read_page(PAGE_DIR)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get("/events", self._events, allow_head=False)
        router.add_get("/picture.jpg", self._jpeg, allow_head=False)
        router.add_get("/state", self._state, allow_head=False)
        router.add_post("/touch", self._touch)
        router.add_post("/again", self._again)
        router.add_post("/keep", self._save)
        router.add_get("/", self._file)
        router.add_get("/{name}", self._file)

    async def _file(self, request: web.Request) -> web.Response:
        return file_response(self._page, request.match_info.get("name", "index.html"))

    async def _events(self, _request: web.Request) -> web.Response:
        return web.Response(text='event: edition\ndata: "align"\n\n', content_type="text/event-stream")

    async def _jpeg(self, request: web.Request) -> web.Response:
        if not is_from_this_machine(request):
            raise web.HTTPForbidden(text="Available on this machine only.\n")
        jpeg = self._picture.jpeg() if self._camera.health.state is PartState.OK else None
        return web.Response(status=204) if jpeg is None else web.Response(body=jpeg, content_type="image/jpeg")

    async def _state(self, request: web.Request) -> web.Response:
        if not is_from_this_machine(request):
            raise web.HTTPForbidden(text="Available on this machine only.\n")
        return json_response(self._page_state())

    async def _touch(self, request: web.Request) -> web.Response:
        touch = await read_body(request, _Touch)
        try:
            self._check_parts()
            self._alignment.touch((touch.x, touch.y))
        except BadCalibration as exc:
            return json_response({"fault": _fault(exc)}, 409)
        return json_response({"fault": None})

    async def _again(self, request: web.Request) -> web.Response:
        await read_body(request, dict)
        self._alignment.restart()
        return json_response({"fault": None})

    async def _save(self, request: web.Request) -> web.Response:
        await read_body(request, dict)
        frame = self._camera.frames.value
        if self._alignment.fit is None or frame is None:
            raise web.HTTPConflict(text="There is nothing to save yet.\n")
        height, width = frame.image.shape[:2]
        try:
            self._check_parts()
            self._save_alignment((width, height))
        except BadCalibration as exc:
            return json_response({"fault": _fault(exc)}, 409)
        except OSError as exc:
            reason = exc.strerror or str(exc)
            failure = BadCalibration(f"无法保存：{reason}", f"Cannot be saved: {reason}")
            return json_response({"fault": _fault(failure)}, 507)
        return json_response({"fault": None})

    def _page_state(self) -> dict[str, object]:
        """The state that the page shows beside the picture; points are fractions of their picture."""
        alignment, fit = self._alignment, self._alignment.fit
        thermal, spot, fault = alignment.thermal, None, None
        try:
            self._check_parts()
            spot = alignment.spot()
        except BadCalibration as exc:
            fault = _fault(exc)
        return {
            "touches": alignment.touches,
            "places": PLACES,
            "thermal_c": None if thermal is None else [[round(value, 1) for value in row] for row in thermal.tolist()],
            "spot": spot and spot.at,
            "warmer_c": spot and spot.warmer_c,
            "fault": fault,
            "residual_px": fit and fit.residual_px,
            "outline": fit and [fit.view.back(corner) for corner in _CORNERS],
            "spot_on_camera": fit and spot and fit.view.back(spot.at),
        }

    def _check_parts(self) -> None:
        """Raises BadCalibration if the camera or the thermometer gives no picture."""
        for part, zh, en in ((self._camera, "摄像头", "The camera"), (self._thermometer, "测温仪", "The thermometer")):
            if part.health.state is not PartState.OK:
                detail = _detail(part)
                raise BadCalibration(
                    f"{zh}没有画面（{detail}），请检查接线。", f"{en} gives no picture ({detail}): check the cable."
                )


def _detail(part: Part) -> str:
    return part.health.detail or part.health.state.value


def _fault(exc: BadCalibration) -> dict[str, str]:
    return {"zh": exc.zh, "en": exc.en}
