"""Measures the time of a detector."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.detections import FaceDetector


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds per call over `runs` calls; CPU time includes all threads of the process."""

    runs: int
    wall_median_ms: float
    wall_p95_ms: float
    cpu_median_ms: float
    cpu_p95_ms: float


def time_calls(call: Callable[[], object], *, runs: int = 100, warm_up: int = 10) -> Timing:
    """Run `call` `warm_up` times without and `runs` times with measurement."""
    for _ in range(warm_up):
        call()
    spans = np.empty((runs, 2))
    for span in spans:
        before = time.perf_counter(), time.process_time()
        call()
        span[:] = time.perf_counter() - before[0], time.process_time() - before[1]
    median, late = np.quantile(spans * 1000, (0.5, 0.95), axis=0).round(3).tolist()
    return Timing(runs, median[0], late[0], median[1], late[1])


def time_detector(detector: FaceDetector, picture: NDArray[np.uint8], *, runs: int = 100) -> Timing:
    """Time letterbox, network and decoding of one (h, w, 3) uint8 BGR picture."""
    return time_calls(lambda: detector.detect(picture), runs=runs)


def plain_frame(width: int = 640, height: int = 480) -> NDArray[np.uint8]:
    """A frame of smooth colours and noise without a face, the same at every call."""
    rng = np.random.default_rng(7)
    across, down = np.linspace(0, 200, width), np.linspace(0, 200, height)
    base = (across[None, :, None] + down[:, None, None]) / 2 + np.array((0, 20, 40))
    return np.asarray(np.clip(base + rng.normal(0, 8, (height, width, 3)), 0, 255), np.uint8)
