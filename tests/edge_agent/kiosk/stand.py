"""A kiosk on loopback that can be stopped and started again, with views and pictures of our own making."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import cv2
import msgspec
import numpy as np

from drivers.latest import Latest
from edge_agent.kiosk.server import Kiosk, Routes
from edge_agent.kiosk.touch import TouchRoutes
from edge_agent.screen.view_state import LinkView, PartView, ScreenStage, ScreenView
from tests.limits import HANG_S
from tests.ports import free_port

PARTS = ("camera", "thermometer", "reader", "gate", "speaker")
NOBODY = ScreenView(
    serial=1,
    stage=ScreenStage.IDLE,
    hint=None,
    face=None,
    temperature_c=None,
    mask=None,
    credential="none",
    verdict=None,
    reasons=(),
    prompt=None,
    parts=tuple(PartView(name, "ok") for name in PARTS),
    link=LinkView(connected=True, platform_online=True, freshness="fresh", age_s=3.0),
    passages=7,
    language="zh-CN",
)
OFFLINE = LinkView(connected=False, platform_online=False, freshness="stale", age_s=7300.0)


def changed(**fields: object) -> ScreenView:
    """The view of an idle, healthy box with `fields` changed."""
    return msgspec.structs.replace(NOBODY, **fields)


def lost(*names: str) -> tuple[PartView, ...]:
    """All parts, those of `names` lost."""
    return tuple(PartView(name, "lost" if name in names else "ok") for name in PARTS)


def blank_jpeg() -> bytes:
    """A JPEG of 640x480 with nobody on it: white on the left, black on the right."""
    image = np.zeros((480, 640, 3), dtype=np.uint8)
    image[:, :320] = 255
    return bytes(cv2.imencode(".jpg", image)[1])


class Stand:
    """One kiosk; its views and pictures are the test's to give."""

    def __init__(self, frames: Callable[[], bytes | None] | None = None) -> None:
        """`frames` gives the pictures; without it they are `jpeg`, and asking is counted."""
        self._frames = frames or self._frame
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.views: Latest[ScreenView] = Latest()
        self.views.put(NOBODY)
        self.frames_asked = 0
        self.jpeg: bytes | None = blank_jpeg()
        self.report: dict[str, object] = {"passages": 7, "camera": "ok"}
        self.touched: list[str] = []
        self.more: list[Routes] = [TouchRoutes(self._choose_language, self._call_staff)]
        self._task: asyncio.Task[None] | None = None

    def kiosk(self) -> Kiosk:
        """The kiosk under test."""
        return Kiosk("127.0.0.1", self.port, self.views, self._frames, self._status, self.more)

    def put(self, **fields: object) -> None:
        """Change the newest view as the board would."""
        assert self.views.value is not None
        self.views.put(msgspec.structs.replace(self.views.value, **fields))

    def _choose_language(self, language: str) -> None:
        self.touched.append(language)
        self.put(language=language)

    async def _call_staff(self) -> None:
        self.touched.append("staff")
        self.put(staff_called=True)

    async def _status(self) -> dict[str, object]:
        return self.report

    async def start(self) -> None:
        """Run a kiosk and return once it takes connections."""
        self._task = asyncio.create_task(self.kiosk().run())
        async with asyncio.timeout(HANG_S):
            while not await self._listens():
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Cancel the kiosk and wait for its end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _listens(self) -> bool:
        if self._task is not None and self._task.done():
            self._task.result()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except ConnectionRefusedError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    def _frame(self) -> bytes | None:
        self.frames_asked += 1
        return self.jpeg
