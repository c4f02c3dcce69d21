"""Detects faces in camera pictures on one worker thread, no more often than needed."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.contract import Camera, CameraFrame
from drivers.latest import Latest
from edge_agent.diagnostics.metrics import Metrics
from edge_agent.measurement.upright_monitor import UprightMonitor
from models.detections import Face, FaceDetector

_THUMB = 40  # the motion test looks at every n-th pixel
_MOTION_LEVELS = 24.0  # grey-level change of the most changed pixel that counts as motion; sensor noise is less
_UNSEEN_LIMIT_S = 1.0  # search at least this often without motion


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The faces of one picture, best score first; boxes in pixels of the (height, width) picture."""

    faces: tuple[Face, ...]
    frame: CameraFrame

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the picture."""
        height, width = self.frame.image.shape[:2]
        return width, height

    @property
    def nearest(self) -> Face | None:
        """The tallest face, hence the one nearest to the camera."""
        return max(self.faces, key=lambda face: face.box[3], default=None)


class FaceDetectionLoop:
    """Looks at the newest picture, at `active_fps` while a face is there and at `idle_fps` otherwise."""

    def __init__(
        self,
        camera: Camera,
        detector: FaceDetector,
        upright: UprightMonitor,
        active_fps: float,
        idle_fps: float,
        metrics: Metrics,
    ) -> None:
        self.detections: Latest[Detections] = Latest()
        self._camera = camera
        self._detector = detector
        self._upright = upright
        self._active_fps, self._idle_fps = active_fps, idle_fps
        self._metrics = metrics
        self._thumb: NDArray[np.float32] | None = None
        self._looked_at_s = float("-inf")

    async def run(self) -> None:
        """Detect until cancelled; the camera delivers no more pictures than are examined."""
        sequence, somebody = 0, True
        with ThreadPoolExecutor(1, thread_name_prefix="vision") as worker:
            while True:
                self._camera.limit_rate(self._active_fps if somebody else self._idle_fps)
                sequence, frame = await self._camera.frames.after(sequence)
                somebody = await self._look(frame, worker)

    async def _look(self, frame: CameraFrame, worker: ThreadPoolExecutor) -> bool:
        faces = await asyncio.get_running_loop().run_in_executor(worker, self._faces, frame)
        self.detections.put(Detections(tuple(faces), frame))
        return bool(faces)

    def _faces(self, frame: CameraFrame) -> list[Face]:
        """The faces in `frame`; an empty scene without motion is not searched every time."""
        thumb = frame.image[::_THUMB, ::_THUMB].astype(np.float32).mean(axis=2)
        still = self._thumb is not None and self._thumb.shape == thumb.shape and not _moved(self._thumb, thumb)
        if still and frame.taken_at_s - self._looked_at_s < _UNSEEN_LIMIT_S:
            return []
        started_s = time.perf_counter()
        faces = self._upright.checked(self._detector.detect(frame.image), frame.image, frame.taken_at_s)
        self._metrics.note("vision_ms", (time.perf_counter() - started_s) * 1000)
        self._looked_at_s = frame.taken_at_s
        self._thumb = None if faces else thumb
        return faces


def _moved(before: NDArray[np.float32], after: NDArray[np.float32]) -> bool:
    return float(np.abs(after - before).max()) > _MOTION_LEVELS
