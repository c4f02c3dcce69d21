"""A simulated network camera: MJPEG over HTTP on loopback, with sensor noise and faults on demand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from enum import Enum
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 640, 480
FRAMES_PER_S = 15
JPEG_QUALITY = 80
BRIGHTER_TILES, DARKER_TILES = 4, 3  # coprime: twelve different combinations
NOISE_SIGMA = 3.0
MAX_VIEWERS = 4
SLOW_VIEWER_S = 2.0  # a viewer that takes longer over one picture is dropped
REQUEST_LIMIT_S = 2.0
BOUNDARY = b"picture"
HEADER = (
    b"HTTP/1.0 200 OK\r\nCache-Control: no-store\r\nContent-Type: multipart/x-mixed-replace; boundary=%s\r\n\r\n"
    % BOUNDARY
)

Image = NDArray[np.uint8]


def _palm() -> Image:
    """The picture of a palm on the lens: a reddish glow without edges."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    glow = np.exp(-(((x - 420) / 260) ** 2) - ((y - 160) / 220) ** 2)
    palm: Image = np.stack([20 + 15 * glow, 25 + 25 * glow, 70 + 80 * glow], axis=2).astype(np.uint8)
    return palm


PALM = _palm()


class CameraMode(Enum):
    """State of the simulated camera."""

    LIVE = "live"  # the picture of `view`, with noise
    FROZEN = "frozen"  # the same picture repeatedly
    CLOCK = "clock"  # the same picture repeatedly, with a running clock in its corner
    CUT_OFF = "cut off"  # every picture ends after 40 % of its bytes
    BLACK = "black"  # lens covered, no light
    BLOCKED = "blocked"  # a palm on the lens, light shining through
    STALLED = "stalled"  # connected, but sends no data
    REFUSED = "refused"  # refuses connections


class SimulatedCamera:
    """Serves `url` for the duration of the `async with`; `view` returns the scene without noise, 640x480 BGR."""

    def __init__(self, view: Callable[[], Image], seed: int, port: int = 0) -> None:
        self._view = view
        self._noise = _noise_tiles(seed)
        self._port = port
        self._mode = CameraMode.LIVE
        self._server: asyncio.Server | None = None
        self._viewers: dict[asyncio.StreamWriter, asyncio.Event] = {}  # set when the viewer is gone
        self._tick = -1
        self._jpeg = b""
        self._once: bytes | None = None

    async def __aenter__(self) -> SimulatedCamera:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._hang_up()

    @property
    def url(self) -> str:
        """Address of the stream; valid once the camera listens."""
        return f"http://127.0.0.1:{self._port}/video.mjpg"

    @property
    def mode(self) -> CameraMode:
        """Current state."""
        return self._mode

    async def set_mode(self, mode: CameraMode) -> None:
        """Change the state; the address does not change."""
        self._mode = mode
        if mode is CameraMode.REFUSED:
            await self._hang_up()
        elif self._server is None:
            await self._listen()

    def send_once(self, data: bytes) -> None:
        """Send `data` in place of the next picture."""
        self._once = data

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _hang_up(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        gone = list(self._viewers.values())
        for viewer in self._viewers:
            viewer.transport.abort()
        for event in gone:
            await event.wait()  # within the time of one picture
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._viewers) >= MAX_VIEWERS:
            writer.transport.abort()
            return
        gone = self._viewers[writer] = asyncio.Event()
        try:
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), REQUEST_LIMIT_S)
            writer.write(HEADER)
            await self._stream(writer)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the viewer disconnected, or sent no valid request
        finally:
            del self._viewers[writer]
            writer.transport.abort()
            gone.set()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            if self._mode is not CameraMode.STALLED:
                jpeg = self._picture()
                writer.write(b"--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % (BOUNDARY, len(jpeg)))
                writer.write(jpeg + b"\r\n")
                await asyncio.wait_for(writer.drain(), SLOW_VIEWER_S)
            await asyncio.sleep(1 / FRAMES_PER_S - time.monotonic() % (1 / FRAMES_PER_S))

    def _picture(self) -> bytes:
        """The JPEG of the current frame interval, the same for every viewer."""
        if self._once is not None:
            once, self._once = self._once, None
            return once
        tick = int(time.monotonic() * FRAMES_PER_S)
        if tick != self._tick and not (self._mode is CameraMode.FROZEN and self._jpeg):
            self._tick = tick
            self._jpeg = self._encode(tick)
        return self._jpeg

    def _encode(self, tick: int) -> bytes:
        if self._mode is CameraMode.BLACK:
            return _jpeg(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        if self._mode is CameraMode.CLOCK:
            return _jpeg(_with_clock(self._view(), tick))
        view = PALM if self._mode is CameraMode.BLOCKED else self._view()
        brighter, darker = self._noise[tick % BRIGHTER_TILES], self._noise[-1 - tick % DARKER_TILES]
        jpeg = _jpeg(cv2.subtract(cv2.add(view, brighter), darker))
        return jpeg[: len(jpeg) * 2 // 5] if self._mode is CameraMode.CUT_OFF else jpeg


def _with_clock(view: Image, tick: int) -> Image:
    shown = view.copy()
    cv2.putText(shown, f"2022-04-01 {tick % 100:02}", (12, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)
    return shown


def _jpeg(image: cv2.typing.MatLike) -> bytes:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


def _noise_tiles(seed: int) -> list[Image]:
    """Noise pictures, made once: adding one and subtracting another costs a tenth of generating new noise."""
    random = np.random.default_rng(seed)
    return [_noise_tile(random) for _ in range(BRIGHTER_TILES + DARKER_TILES)]


def _noise_tile(random: np.random.Generator) -> Image:
    noise = random.standard_normal((HEIGHT, WIDTH, 3), np.float32) * NOISE_SIGMA
    tile: Image = np.abs(noise).astype(np.uint8)
    return tile
