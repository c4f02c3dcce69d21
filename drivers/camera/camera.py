"""The camera part: checks the pictures of a capture thread, abandons the thread when it hangs, and reopens."""

from __future__ import annotations

import asyncio
import threading
import time

from drivers.camera.picture_check import DamageShare, PictureCheck, PictureFault
from drivers.camera.video_capture import Capture, CapturedPicture, PictureFormat, RequestedFormat, Source
from drivers.contract import Camera, CameraFrame, PartFault
from drivers.device_health import DeviceHealth, MonitoredDevice
from drivers.errors import BadSetting, DeviceLost
from drivers.latest import Latest
from drivers.reopening import keep_open
from models.imaging.orientation import TURNS, Orientation

OPEN_LIMIT_S = 5.0  # until the first picture; network cameras take seconds
AGE_LIMIT_S = 2.0  # between pictures
REOPEN_FROZEN_S = 3.0
MAX_HANGING = 4  # abandoned threads still blocked in OpenCV
CLOSE_LIMIT_S = 3.5  # slightly above the time limits of FFmpeg
_PART_FAULTS = {PictureFault.DAMAGED: PartFault.DAMAGED_PICTURES}


class OpenCvCamera(MonitoredDevice):
    """Newest picture of one source. A frozen, black or covered picture sets the state to BROKEN and is dropped.

    A damaged picture is dropped and counted; many of them set the state to BROKEN until they are few again.
    """

    def __init__(self, source: Source, requested: RequestedFormat, orientation: Orientation) -> None:
        super().__init__(DeviceHealth("camera"))
        self.device_health.counters.update(frames=0, held_back=0, damaged=0)
        self._source = source
        self._requested = requested
        self._orientation = orientation
        self._rate_fps = requested.fps
        self._frames: Latest[CameraFrame] = Latest()
        self._check = PictureCheck()
        self._damage = DamageShare()
        self._rejected = ""
        self._rejected_fault: PartFault | None = None
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

    def reject(self, reason: str, fault: PartFault | None = None) -> None:
        """Set the state to BROKEN with `reason` from the next picture on, and still deliver; "": accept again."""
        self._rejected, self._rejected_fault = reason, fault

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
        capture = Capture(self._source, self._requested, self._orientation, mailbox.put, mailbox.close)
        capture.limit_rate(self._rate_fps)
        self._captures.append(capture)
        capture.start()
        try:
            await self._take_pictures(capture, mailbox)
        finally:
            capture.abandon()

    async def _take_pictures(self, capture: Capture, mailbox: _Mailbox) -> None:
        picture = await mailbox.take(OPEN_LIMIT_S)
        self.device_health.counters["opened"] += 1
        opened_s = good_s = picture.at_s
        sequence = 0
        while True:
            sequence += 1
            self.device_health.counters["frames"] += 1
            fault = self._judge(picture, capture.format)
            if picture.image is not None and fault is None:
                good_s = picture.at_s
                self._report(str(capture.format))
                self._frames.put(CameraFrame(picture.image, picture.at_s, sequence))
            else:
                self.device_health.counters["held_back"] += 1
            if fault is not None:
                self.device_health.broken(fault.value, _PART_FAULTS.get(fault))
            if fault is PictureFault.FROZEN and picture.at_s - max(good_s, opened_s) > REOPEN_FROZEN_S:
                return
            picture = await mailbox.take(AGE_LIMIT_S)

    def _judge(self, picture: CapturedPicture, shape: PictureFormat | None) -> PictureFault | None:
        """The fault of the source; a damaged picture alone is none."""
        self.device_health.counters["damaged"] += picture.image is None
        if self._damage.is_high(damaged=picture.image is None):
            return PictureFault.DAMAGED
        if picture.image is None:
            return None
        predicted = shape is not None and shape.is_predicted
        return self._check.judge(picture.image, picture.at_s, predicted=predicted)

    def _report(self, detail: str) -> None:
        if self._rejected:
            self.device_health.broken(self._rejected, self._rejected_fault)
        else:
            self.device_health.ok(detail)


class _Mailbox:
    """Passes the newest picture from the capture thread to the event loop; wakes the loop once per picture taken."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._lock = threading.Lock()
        self._picture: CapturedPicture | None = None
        self._ended = ""

    def put(self, picture: CapturedPicture) -> None:
        """On the capture thread: store a picture, replacing one not yet taken."""
        with self._lock:
            wake = self._picture is None
            self._picture = picture
        if wake:
            self._loop.call_soon_threadsafe(self._changed.set)

    def close(self, reason: str) -> None:
        """On the capture thread: record that no more pictures will come."""
        self._ended = reason
        self._loop.call_soon_threadsafe(self._changed.set)

    async def take(self, limit_s: float) -> CapturedPicture:
        """The newest picture; raises DeviceLost when none comes within `limit_s`."""
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

    def _take_picture(self) -> CapturedPicture | None:
        with self._lock:
            picture, self._picture = self._picture, None
        return picture


def _join(captures: list[Capture]) -> None:
    deadline_s = time.monotonic() + CLOSE_LIMIT_S
    for capture in captures:
        capture.join(max(0.0, deadline_s - time.monotonic()))


def make_camera(
    *,
    source: str,
    width: int = 640,
    height: int = 480,
    fps: float = 15.0,
    rotate_deg: int = 0,
    flip: bool = False,
) -> Camera:
    """The camera at `source`: a V4L2 number or /dev path, an rtsp/http(s) URL, or a video file, which is looped.

    Its pictures are turned by `rotate_deg` clockwise, then mirrored left to right if `flip`. Raises BadSetting.
    """
    for name, value, most in (("width", width, 7680), ("height", height, 4320), ("fps", fps, 120)):
        if not 0 < value <= most:
            raise BadSetting(f"camera {name} {value} is out of range; accepted: above 0, up to {most}")
    if rotate_deg not in TURNS:
        raise BadSetting(f"camera rotate {rotate_deg} is not possible; accepted: {', '.join(map(str, TURNS))}")
    return OpenCvCamera(Source.parse(source), RequestedFormat(width, height, fps), Orientation(rotate_deg, flip))
