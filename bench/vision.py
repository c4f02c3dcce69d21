"""Measures the cost of face detection and code reading: `python -m bench.vision` prints JSON.

Every case runs in a new process, for separate load times and peak memory. Frames show a drawn person of the simulation,
or the photo of --photo; nothing is stored.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

from models.detectors.face import make_detector
from models.detectors.timing import time_calls
from models.errors import ModelError
from models.picture import read_picture
from tests.drawn import bare_face

FRAMES = ((640, 480), (1280, 720))
THREADS = (1, 2)
YUNET = "yunet_n_dynamic.onnx"

Frame = NDArray[np.uint8]
Look = Callable[[Frame], int]


@dataclass(frozen=True)
class Case:
    """One case to measure on one frame."""

    what: str
    width: int
    height: int
    threads: int
    photo: Path | None
    sentinel: Path | None
    weights_dir: Path
    runs: int


def main() -> None:
    """Measure every case and print one JSON object."""
    arguments = _arguments()
    cases = [
        Case(what, width, height, threads, arguments.photo, arguments.sentinel, arguments.weights, arguments.runs)
        for width, height in FRAMES
        for threads in THREADS
        for what in LOOKS
    ]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        rows = list(pool.map(run, cases))
    print(
        json.dumps(
            {"machine": machine(), "photo": arguments.photo.name if arguments.photo else "drawn", "cases": rows},
            indent=1,
        )
    )


def run(case: Case) -> dict[str, object]:
    """Measure load time, run time and memory of one case, in a new process."""
    cv2.setNumThreads(case.threads)
    frame = cover(read_picture(case.photo) if case.photo else bare_face(), case.width, case.height)
    bare_mib = _rss_mib()
    begun = time.perf_counter()
    try:
        look = LOOKS[case.what](case)
    except ModelError as exc:
        return {"what": case.what, "left_out": str(exc)}
    load_ms = (time.perf_counter() - begun) * 1000
    timing = time_calls(lambda: look(frame), runs=case.runs)
    return {
        "what": case.what,
        "frame": f"{case.width}x{case.height}",
        "threads": case.threads,
        "found": look(frame),
        "load_ms": round(load_ms, 1),
        **asdict(timing),
        "rss_before_mib": round(bare_mib),
        "rss_peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _sentinel(case: Case) -> Look:
    detector = make_detector("sentinel", threads=case.threads, weights=case.sentinel)
    return lambda frame: len(detector.detect(frame))


def _yunet(case: Case) -> Look:
    detector = make_detector("yunet", threads=case.threads, weights=case.weights_dir / YUNET)
    return lambda frame: len(detector.detect(frame))


def _opencv_yunet(case: Case) -> Look:
    """FaceDetectorYN on the frame scaled to a long side of 320."""
    width, height = 320, round(320 * case.height / case.width)
    detector = cv2.FaceDetectorYN.create(str(case.weights_dir / YUNET), "", (width, height), 0.6, 0.3)

    def look(frame: Frame) -> int:
        faces = detector.detect(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA))[1]
        return 0 if faces is None else len(faces)

    return look


def _qr(_case: Case) -> Look:
    formats = zxingcpp.barcode_formats_from_str("QRCode")
    return lambda frame: len(zxingcpp.read_barcodes(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), formats=formats))


def _whole(case: Case) -> Look:
    faces, codes = _sentinel(case), _qr(case)
    return lambda frame: faces(frame) + codes(frame)


LOOKS: dict[str, Callable[[Case], Look]] = {
    "sentinel": _sentinel,
    "yunet-n, our session": _yunet,
    "yunet-n, cv2.FaceDetectorYN": _opencv_yunet,
    "QR, zxing-cpp": _qr,
    "whole frame: sentinel + QR": _whole,
}


def cover(photo: Frame, width: int, height: int) -> Frame:
    """The middle of the photo, scaled to fill the frame."""
    scale = max(width / photo.shape[1], height / photo.shape[0])
    large = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return np.ascontiguousarray(large[top : top + height, left : left + width])


def machine() -> dict[str, object]:
    """Properties of this machine."""
    model = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("onnxruntime", "opencv-python", "zxing-cpp")},
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def _rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", type=Path, help="photo to cut frames from instead of a drawn person")
    parser.add_argument("--sentinel", type=Path, help="weights instead of the built-in ones")
    parser.add_argument("--weights", type=Path, default=Path("../shared/models"), help=f"folder with {YUNET}")
    parser.add_argument("--runs", type=int, default=200)
    return parser.parse_args()


if __name__ == "__main__":
    main()
