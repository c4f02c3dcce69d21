"""A simulated GY-MCU90640 on a wire, which measures a warm face in a room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.simulated.devices.gy_mcu90640_module import COLS, ROWS, ThermalModule, encode_frame
from drivers.simulated.devices.wire import PtyWire

NOISE_SIGMA_C = 0.1
BITS_PER_BYTE = 10  # 8N1
CHUNKS_PER_FRAME = 8  # about the size of the pieces that a USB adapter delivers
LISTEN_EVERY_S = 0.05  # interval of reading commands between frames
MAX_FRAMES_ASKED = 4


@dataclass(frozen=True, slots=True)
class WarmFace:
    """A face in the view: centre and size as shares of the picture, x to the viewer's right, and its warmest point."""

    centre_x: float
    centre_y: float
    width: float
    height: float
    skin_max_c: float


class ThermalScene:
    """View of the array: a room at one temperature, optionally a face, and sensor noise."""

    def __init__(self, seed: int, ambient_c: float = 24.0) -> None:
        self._random = np.random.default_rng(seed)
        self.ambient_c = ambient_c

    def picture(self, face: WarmFace | None) -> NDArray[np.float64]:
        """(24, 32) °C, row 0 on top, column 0 at the viewer's left."""
        picture = np.full((ROWS, COLS), self.ambient_c)
        if face is not None:
            picture += (face.skin_max_c - self.ambient_c) * _warmth(face)
        return picture + self._random.normal(0.0, NOISE_SIGMA_C, picture.shape)


def _warmth(face: WarmFace) -> NDArray[np.float64]:
    """Warmth per pixel, from 0 for the room to 1 for the warmest skin, at the inner corners of the eyes."""
    y, x = np.mgrid[0.5:ROWS, 0.5:COLS]
    across = (x / COLS - face.centre_x) / (face.width / 2)
    down = (y / ROWS - face.centre_y) / (face.height / 2)
    oval = np.clip(
        (1.15 - np.hypot(across, down)) / 0.3, 0.0, 1.0
    )  # soft edge, as of pixels that cover face and background
    eyes = np.exp(-((across / 0.5) ** 2) - ((down + 0.25) / 0.35) ** 2)
    warmth: NDArray[np.float64] = oval * (0.86 + 0.14 * eyes)
    peak = warmth.max()
    return warmth / peak if peak > 0 else warmth


class SimulatedThermometer:
    """The module on its wire; `face` returns the face in view now, None for none.

    `speed` is that of the module's time: 8.0 sends eight times as many frames.
    """

    def __init__(self, wire: PtyWire, face: Callable[[], WarmFace | None], seed: int, ambient_c: float = 24.0) -> None:
        self.wire = wire
        self.speed = 1.0
        self.module = ThermalModule()
        self.scene = ThermalScene(seed, ambient_c)
        self._face = face

    def unplug(self) -> None:
        """Remove the port."""
        self.wire.unplug()

    def plug(self, link: Path | None = None) -> None:
        """Create the port, under another name if given; the module restarts with its saved settings."""
        self.module.power_up()
        self.wire.plug(link)

    async def run(self) -> None:
        """Measure, send and execute commands until cancelled."""
        while True:
            due_s = time.monotonic() + 1 / (self.speed * self.module.settings.rate_hz)
            if self._frame_wanted():
                await self._send(self._frame())
            await self._listen_until(due_s)

    def _frame_wanted(self) -> bool:
        if not self.wire.plugged:
            return False
        if self.module.frames_asked:
            self.module.frames_asked = min(self.module.frames_asked, MAX_FRAMES_ASKED) - 1
            return True
        return self.module.settings.automatic

    def _frame(self) -> bytes:
        # According to the maker's figure, each row starts at the right.
        return encode_frame(self.scene.picture(self._face())[:, ::-1], self.scene.ambient_c)

    async def _send(self, frame: bytes) -> None:
        """Send one frame in pieces, each at the time at which its last bit would arrive."""
        started_s, size = time.monotonic(), -(-len(frame) // CHUNKS_PER_FRAME)
        for start in range(0, len(frame), size):
            part = frame[start : start + size]
            sent_s = started_s + (start + len(part)) * BITS_PER_BYTE / (self.speed * self.module.settings.baud)
            await asyncio.sleep(max(0.0, sent_s - time.monotonic()))
            self.wire.write(part)

    async def _listen_until(self, due_s: float) -> None:
        while True:
            answer = self.module.feed(self.wire.read())
            if answer:
                self.wire.write(answer)
            left_s = due_s - time.monotonic()
            if left_s <= 0 or self.module.frames_asked:
                return
            await asyncio.sleep(min(left_s, LISTEN_EVERY_S))
