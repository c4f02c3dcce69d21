"""Reads pictures with OpenCV on a thread that may block without limit: the only driver module that imports cv2."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera.cameras import resolve_camera
from drivers.camera.picture_decoder import PictureDecoder
from drivers.camera.unreachable import why_no_stream, why_not_opened
from drivers.errors import BadSetting, DeviceLost
from drivers.serial_line.ports import check_name
from models.imaging.errors import PictureDamaged, PictureError
from models.imaging.orientation import Orientation
from sync.network_address import BadAddress, HostPort

Image = NDArray[np.uint8]

OPEN_LIMIT_MS = 3000  # time limits of FFmpeg; they end an abandoned thread
READ_LIMIT_MS = 2500
RATE_WINDOW_S = 1.0
DEFAULT_FILE_FPS = 25.0
HIGHEST_FPS = 120.0
V4L2_LIMIT_S = 3  # the default of OpenCV is 10
V4L2_LIMIT = "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"
FFMPEG_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
FFMPEG_LOG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"
# A camera is asked directly: a proxy of the environment would ask its own machine, and see password and pictures.
NO_PROXY = "http_proxy;none"
NO_BUFFERING = f"{NO_PROXY}|fflags;nobuffer|probesize;32|analyzeduration;0|flags;low_delay"
LOW_LATENCY = {  # measured, MJPEG over HTTP on loopback: opens in 28 ms, frames 3 to 10 ms old
    "http": NO_BUFFERING,
    "https": NO_BUFFERING,
    "rtsp": "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay",
}
JPEG_FORMATS = ("MJPG", "JPEG")
UNCOMPRESSED_FORMATS = ("YUYV", "UYVY", "YV12", "YU12", "NV12", "NV21", "BGR3", "RGB3", "GREY")  # of V4L2
AS_RECEIVED = -1  # value of CAP_PROP_FORMAT: pictures are delivered undecoded
_MISTYPED_URL = re.compile("(rtsp|http)s?[:：]", re.IGNORECASE)
environment_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Source:
    """Source of pictures: a V4L2 `device` (index, path or USB name), a `url`, or a looped `file`; one is not empty."""

    device: str = ""
    url: str = ""
    file: str = ""

    @classmethod
    def parse(cls, text: str) -> Source:
        """Parse the `source` setting; raises BadSetting. The message omits the text, which may contain a password."""
        scheme, separator, rest = text.partition("://")
        if separator and scheme in LOW_LATENCY:
            _check_address(rest)
            return cls(url=text)
        if text.startswith(("usb:", "usb@")):
            check_name(text)
            return cls(device=text)
        if text.isdecimal() or text.startswith("/dev/"):
            return cls(device=text)
        if text and not separator and not _MISTYPED_URL.match(text):
            return cls(file=text)
        accepted = (
            "a number, /dev/..., usb:VID:PID[:SERIAL], usb@LOCATION, rtsp://..., http://..., https://...,"
            " or the path of a video file"
        )
        raise BadSetting(f"the camera source is not supported; accepted: {accepted}")


def _check_address(rest: str) -> None:
    """Raise BadSetting unless host and port in `rest`, the part behind the scheme, are valid."""
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    try:
        HostPort.parse(host, default_port=1)
    except BadAddress as exc:
        raise BadSetting(
            f"camera source: {exc} 密码中的 / ? # @ 请写作 %2F %3F %23 %40。"
            " In a password write %2F %3F %23 %40 for / ? # @"
        ) from exc


@dataclass(frozen=True, slots=True)
class RequestedFormat:
    """Size and rate requested from a V4L2 camera, which may use others. `fps` also limits the other sources."""

    width: int
    height: int
    fps: float


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """Actual format of a source; `fps` is measured, because cameras often report it wrongly; 0 in the first second."""

    width: int
    height: int
    pixel_format: str
    fps: float = 0.0

    @property
    def is_predicted(self) -> bool:
        """Whether the codec copies still parts from the picture before, as H.264 does."""
        return self.pixel_format not in (*JPEG_FORMATS, *UNCOMPRESSED_FORMATS)

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {self.pixel_format}" + (f" {self.fps:.0f} fps" if self.fps else "")


@dataclass(frozen=True, slots=True, eq=False)
class CapturedPicture:
    """One picture at `at_s` (monotonic seconds); `image` is None where it is damaged."""

    image: Image | None
    at_s: float


class Capture(threading.Thread):
    """Reads `source` until it ends or the capture is abandoned; makes no more calls once abandoned.

    `on_picture(picture)` and `on_end(reason)` are called on this thread. Pictures above `requested.fps` are dropped.
    """

    def __init__(
        self,
        source: Source,
        requested: RequestedFormat,
        orientation: Orientation,
        on_picture: Callable[[CapturedPicture], None],
        on_end: Callable[[str], None],
    ) -> None:
        super().__init__(name="camera", daemon=True)
        self.format: PictureFormat | None = None
        self._source = source
        self._requested = requested
        self._decoder = PictureDecoder(orientation)
        self._on_picture = on_picture
        self._on_end = on_end
        self._pictures = 0
        self._abandoned = threading.Event()
        self._calling = threading.Lock()
        self._limit = FrameRateLimiter(requested.fps)

    def limit_rate(self, fps: float) -> None:
        """Deliver at most `fps` pictures a second from now on."""
        self._limit = FrameRateLimiter(fps)

    def abandon(self) -> None:
        """Make no more calls after this returns; the thread ends as soon as OpenCV returns."""
        with self._calling:
            self._abandoned.set()

    def run(self) -> None:
        """Open, read, release."""
        try:
            capture = _open(self._source, self._requested)
            try:
                self._read(capture)
            finally:
                capture.release()
            reason = self._why_ended()
        except cv2.error as exc:
            reason = f"cannot be read: {exc.err}"
        except DeviceLost as exc:
            reason = str(exc)
        with self._calling:
            if not self._abandoned.is_set():
                self._on_end(reason)

    def _why_ended(self) -> str:
        if self._pictures > 1:
            return "the source ended"
        if self._abandoned.is_set():
            return "abandoned"
        if self._source.url:
            return why_no_stream(self._source.url)
        return why_not_opened(self._source.device or self._source.file)

    def _read(self, capture: cv2.VideoCapture) -> None:
        rate = _Rate()
        pixel_format = _pixel_format(capture)
        encoded = pixel_format in JPEG_FORMATS and _deliver_encoded(capture, self._source)
        file = FrameRateLimiter(capture.get(cv2.CAP_PROP_FPS) or DEFAULT_FILE_FPS) if self._source.file else None
        # A file is paced at its own rate; a camera blocks until its next frame.
        while not self._abandoned.wait(file.wait_s(time.monotonic()) if file else 0):
            if not (capture.grab() or (file and _rewind(capture))):
                return
            now_s = time.monotonic()
            fps = rate.add_frame(now_s)
            if file:
                file.allows(now_s)
            if not self._limit.allows(now_s):
                continue
            self._pictures += 1
            image = self._retrieved(capture, encoded=encoded)
            if image is not None:
                self.format = PictureFormat(image.shape[1], image.shape[0], pixel_format, fps)
            self._deliver(CapturedPicture(image, now_s))

    def _retrieved(self, capture: cv2.VideoCapture, *, encoded: bool) -> Image | None:
        """The upright picture that was grabbed, None where it is damaged: the next one may be intact."""
        try:
            good, picture = capture.retrieve()
            if not good:
                raise PictureDamaged("OpenCV cannot decode it")
            if encoded:
                return self._decoder.from_jpeg(picture.tobytes())
            return self._decoder.from_image(np.asarray(picture, np.uint8))
        except (PictureError, cv2.error):
            return None

    def _deliver(self, picture: CapturedPicture) -> None:
        with self._calling:
            if not self._abandoned.is_set():
                self._on_picture(picture)


class FrameRateLimiter:
    """Limits the average rate; a frame up to a quarter interval early passes, because cameras jitter."""

    def __init__(self, rate_hz: float) -> None:
        """`rate_hz` is capped at HIGHEST_FPS."""
        self._interval_s = 1 / min(rate_hz, HIGHEST_FPS)
        self._due_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next frame is due."""
        return max(0.0, self._due_s - now_s)

    def allows(self, now_s: float) -> bool:
        """Whether a frame at `now_s` passes; if so, schedule the next."""
        if now_s < self._due_s - self._interval_s / 4:
            return False
        self._due_s = max(self._due_s + self._interval_s, now_s)
        return True


class _Rate:
    """Measures the frame rate."""

    def __init__(self) -> None:
        self._count = 0
        self._since_s = 0.0
        self._fps = 0.0

    def add_frame(self, now_s: float) -> float:
        """Count one frame; returns frames a second in the last full window, 0 before the first is full."""
        if not self._since_s:
            self._since_s = now_s
            return 0.0
        self._count += 1
        if now_s - self._since_s >= RATE_WINDOW_S:
            self._fps = self._count / (now_s - self._since_s)
            self._count, self._since_s = 0, now_s
        return self._fps


def _open(source: Source, requested: RequestedFormat) -> cv2.VideoCapture:
    """Open `source`; a capture that could not be opened fails on `grab`. Raises DeviceLost for an unknown USB name."""
    # The driver logs a loss once; OpenCV and FFmpeg would log every retry, with address and password.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    os.environ.setdefault(FFMPEG_LOG_LEVEL, "-8")
    os.environ.setdefault(V4L2_LIMIT, str(V4L2_LIMIT_S))
    if source.device:
        found = resolve_camera(source.device)
        name = int(found) if found.isdecimal() else found
        capture = cv2.VideoCapture(name, cv2.CAP_V4L2)
        # MJPEG first: uncompressed VGA at 30 fps does not fit the USB 2 share of many hubs.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, requested.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, requested.height)
        capture.set(cv2.CAP_PROP_FPS, requested.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture
    if source.file:
        return cv2.VideoCapture(source.file, cv2.CAP_FFMPEG)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_LIMIT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_LIMIT_MS]
    with environment_lock:  # FFmpeg reads these options from the environment only
        os.environ[FFMPEG_OPTIONS] = LOW_LATENCY[source.url.partition("://")[0]]
        try:
            return cv2.VideoCapture(source.url, cv2.CAP_FFMPEG, limits)
        finally:
            del os.environ[FFMPEG_OPTIONS]


def _deliver_encoded(capture: cv2.VideoCapture, source: Source) -> bool:
    """Ask for undecoded JPEG pictures: OpenCV would decode them without reporting damage. Returns whether they come."""
    if source.device:
        return bool(capture.set(cv2.CAP_PROP_CONVERT_RGB, 0))
    return bool(capture.set(cv2.CAP_PROP_FORMAT, AS_RECEIVED))


def _rewind(capture: cv2.VideoCapture) -> bool:
    """Rewind a file and grab its first picture; returns whether that succeeded."""
    return bool(capture.set(cv2.CAP_PROP_POS_FRAMES, 0) and capture.grab())


def _pixel_format(capture: cv2.VideoCapture) -> str:
    code = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True)
    return code.decode("ascii", "replace").strip("\0 ") or "unknown"
