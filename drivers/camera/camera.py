"""The camera part: checks the pictures of a capture thread, abandons the thread when it hangs, and reopens."""

from __future__ import annotations

import asyncio
import threading
import time

from drivers.camera.picture_check import PictureCheck, PictureFault
from drivers.camera.video_capture import Capture, Image, PictureFormat, RequestedFormat, Source
from drivers.contract import Camera, CameraFrame
from drivers.device_health import DeviceHealth, MonitoredDevice
from drivers.errors import BadSetting, DeviceLost
from drivers.latest import Latest
from drivers.reopening import keep_open

OPEN_LIMIT_S = 5.0  # until the first picture; network cameras take seconds
AGE_LIMIT_S = 2.0  # between pictures
REOPEN_FROZEN_S = 3.0
MAX_HANGING = 4  # abandoned threads still blocked in OpenCV
CLOSE_LIMIT_S = 3.5  # slightly above the time limits of FFmpeg


class OpenCvCamera(MonitoredDevice):
    """Newest picture of one source. A frozen, black or covered picture sets the state to BROKEN and is dropped."""

    def __init__(self, source: Source, requested: RequestedFormat) -> None:
        super().__init__(DeviceHealth("camera"))
        self.device_health.counters.update(frames=0, held_back=0)
        self._source = source
        self._requested = requested
        self._rate_fps = requested.fps
        self._frames: Latest[CameraFrame] = Latest()
        self._check = PictureCheck()
        self._captures: list[Capture] = []

    @property
    def frames(self) -> Latest[CameraFrame]:
        """The newest picture."""
        return self._frames

    def limit_rate(self, fps: float) -> None:
        """Deliver at most `fps` pictures a second, never more than the configured rate, from the next picture on."""
        wanted_fps = min(fps, self._requested.fps)
        if wanted_fps == self._rate_fps:
            return
        self._rate_fps = wanted_fps
        for capture in self._captures[-1:]:
            capture.limit_rate(self._rate_fps)

    @property
    def format(self) -> PictureFormat | None:
        """Actual format of the source; None before the first picture of this connection."""
        return self._captures[-1].format if self._captures else None

    @property
    def counters(self) -> dict[str, int]:
        """Counts since start; `frames` were received, `replaced` of those were not read."""
        return {**self.device_health.counters, "replaced": self._frames.replaced}

    async def run(self) -> None:
        """Read until cancelled."""
        try:
            await keep_open(self._read_until_lost, self.device_health)
        finally:
            # Usually takes one frame. Python aborts at exit if a thread then returns from OpenCV.
            await asyncio.to_thread(_join, self._captures)

    async def _read_until_lost(self) -> None:
        """Open and read; raises DeviceLost when lost, returns when frozen so long that reopening may help."""
        self._captures = [capture for capture in self._captures if capture.is_alive()]
        if len(self._captures) >= MAX_HANGING:
            raise DeviceLost(f"{MAX_HANGING} capture threads hang")
        mailbox = _Mailbox()
        capture = Capture(self._source, self._requested, mailbox.put, mailbox.close)
        capture.limit_rate(self._rate_fps)
        self._captures.append(capture)
        capture.start()
        try:
            await self._take_pictures(capture, mailbox)
        finally:
            capture.abandon()

    async def _take_pictures(self, capture: Capture, mailbox: _Mailbox) -> None:
        image, at_s = await mailbox.take(OPEN_LIMIT_S)
        self.device_health.counters["opened"] += 1
        opened_s = good_s = at_s
        sequence = 0
        while True:
            sequence += 1
            self.device_health.counters["frames"] += 1
            fault = self._check.judge(image, at_s)
            if fault is None:
                good_s = at_s
                self.device_health.ok(str(capture.format))
                self._frames.put(CameraFrame(image, at_s, sequence))
            else:
                self.device_health.broken(fault.value)
                self.device_health.counters["held_back"] += 1
            if fault is PictureFault.FROZEN and at_s - max(good_s, opened_s) > REOPEN_FROZEN_S:
                return
            image, at_s = await mailbox.take(AGE_LIMIT_S)


class _Mailbox:
    """Passes the newest picture from the capture thread to the event loop; wakes the loop once per picture taken."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._lock = threading.Lock()
        self._picture: tuple[Image, float] | None = None
        self._ended = ""

    def put(self, image: Image, at_s: float) -> None:
        """On the capture thread: store a picture, replacing one not yet taken."""
        with self._lock:
            wake = self._picture is None
            self._picture = image, at_s
        if wake:
            self._loop.call_soon_threadsafe(self._changed.set)

    def close(self, reason: str) -> None:
        """On the capture thread: record that no more pictures will come."""
        self._ended = reason
        self._loop.call_soon_threadsafe(self._changed.set)

    async def take(self, limit_s: float) -> tuple[Image, float]:
        """The newest picture and its time; raises DeviceLost when none comes within `limit_s`."""
        try:
            async with asyncio.timeout(limit_s):
                while (picture := self._take_picture()) is None:
                    if self._ended:
                        raise DeviceLost(self._ended)
                    await self._changed.wait()
                    self._changed.clear()
        except TimeoutError as exc:
            picture = self._take_picture()  # present when the event loop was delayed, not the camera
            if picture is None:
                raise DeviceLost(f"no picture for {limit_s:g} s") from exc
        return picture

    def _take_picture(self) -> tuple[Image, float] | None:
        with self._lock:
            picture, self._picture = self._picture, None
        return picture


def _join(captures: list[Capture]) -> None:
    deadline_s = time.monotonic() + CLOSE_LIMIT_S
    for capture in captures:
        capture.join(max(0.0, deadline_s - time.monotonic()))


def make_camera(*, source: str, width: int = 640, height: int = 480, fps: float = 15.0) -> Camera:
    """The camera at `source`: a V4L2 number or /dev path, an rtsp/http(s) URL, or a video file, which is looped."""
    for name, value, most in (("width", width, 7680), ("height", height, 4320), ("fps", fps, 120)):
        if not 0 < value <= most:
            raise BadSetting(f"camera {name} {value} is out of range; accepted: above 0, up to {most}")
    return OpenCvCamera(Source.parse(source), RequestedFormat(width, height, fps))
