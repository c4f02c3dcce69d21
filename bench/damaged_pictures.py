"""Measures how often a bare face in a damaged or turned picture is classified as masked, and what the checks cost.

    PYTHONPATH=. python -m bench.damaged_pictures FOLDER

FOLDER has faces.jsonl and the pictures that it names. Only pictures with one bare face, classified so when intact, are
used. Nothing is stored; the output is JSON.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.detectors.face import make_detector
from models.detectors.inspect_picture import inspect_picture
from models.detectors.upright import make_upright_probe
from models.errors import PictureUnreadable
from models.imaging.damage import has_filled_band, seams
from models.imaging.jpeg import check_jpeg, decode_jpeg
from models.imaging.orientation import turned
from tests.drawn import bare_face

PICTURES, TIMED = 125, 100
MOST_PIXELS = 64_000_000
Image = NDArray[np.uint8]


def jpeg(image: Image, *options: int) -> bytes:
    """`image` as JPEG."""
    return cv2.imencode(".jpg", image, options)[1].tobytes()


def cut(image: Image, rng: random.Random) -> bytes:
    """The first 20 to 90 % of the bytes, every second time with an end."""
    data = jpeg(image)
    return data[: int(len(data) * rng.uniform(0.2, 0.9))] + rng.choice((b"", b"\xff\xd9"))


def overwritten(image: Image, rng: random.Random) -> bytes:
    """1 to 64 random bytes in the picture data, every second time of a picture with restart markers."""
    data = bytearray(jpeg(image, cv2.IMWRITE_JPEG_RST_INTERVAL, rng.choice((0, 8))))
    count = rng.choice((1, 4, 16, 64))
    at = rng.randrange(data.find(b"\xff\xda") + 14, len(data) - count - 2)
    data[at : at + count] = rng.randbytes(count)
    return bytes(data)


def banded(image: Image, rng: random.Random) -> bytes:
    """The lower part grey or green, encoded again."""
    shown = image.copy()
    shown[int(len(image) * rng.uniform(0.3, 0.7)) :] = rng.choice(((128, 128, 128), (0, 135, 0)))
    return jpeg(shown)


DAMAGES: dict[str, Callable[[Image, random.Random], bytes]] = {
    "cut off": cut,
    "bytes overwritten": overwritten,
    "grey or green band": banded,
    "turned by 180": lambda image, _rng: jpeg(turned(image, 180)),
    "turned by 90 or 270": lambda image, rng: jpeg(turned(image, rng.choice((90, 270)))),
    "intact": lambda image, _rng: jpeg(image),
}


def main() -> None:
    """Measure and print."""
    folder, rng = Path(sys.argv[1]), random.Random(1)
    detector, probe = make_detector("sentinel"), make_upright_probe()
    results: dict[str, Counter[str]] = {name: Counter() for name in DAMAGES}
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "picture.jpg"
        for image in bare_faces(folder, rng):
            for name, damage in DAMAGES.items():
                path.write_bytes(damage(image, rng))
                try:
                    faces = inspect_picture(detector, path, probe)["faces"]
                except PictureUnreadable:
                    results[name]["refused"] += 1
                else:
                    results[name][str(faces[0]["mask"]) if faces else "no face"] += 1  # type: ignore[index]
    print(json.dumps({"verdicts": results, "cost_ms": costs()}, indent=1))


def bare_faces(folder: Path, rng: random.Random) -> list[Image]:
    """Pictures with one large bare face that the detector classifies so."""
    detector, found = make_detector("sentinel"), []
    rows = [json.loads(line) for line in (folder / "faces.jsonl").read_text(encoding="utf-8").splitlines()]
    rng.shuffle(rows)
    for row in rows:
        (face, *others) = row["faces"] or [{"mask": None}]
        if others or face["mask"] != "none" or face["box"][3] < 0.25 * row["height"]:
            continue
        image = cv2.imread(str(folder / row["image"]))
        seen = detector.detect(image)
        if seen and seen[0].mask and seen[0].mask.best.value == "none":
            found.append(image)
        if len(found) == PICTURES:
            break
    return found


def costs() -> dict[str, dict[str, float]]:
    """Median milliseconds of each step on one thread, by the size of the picture."""
    cv2.setNumThreads(1)
    rows = {}
    for width, height in ((640, 480), (1280, 720), (1920, 1080)):
        image = np.asarray(cv2.resize(bare_face(), (width, height)), np.uint8)
        data = jpeg(image)
        steps: dict[str, Callable[[], object]] = {
            "cv2.imdecode": lambda data=data: cv2.imdecode(np.frombuffer(data, np.uint8), 1),  # type: ignore[misc]
            "decode_jpeg": lambda data=data: decode_jpeg(data, MOST_PIXELS),  # type: ignore[misc]
            "check_jpeg": lambda data=data: check_jpeg(data, MOST_PIXELS),  # type: ignore[misc]
            "has_filled_band": lambda image=image: has_filled_band(image),  # type: ignore[misc]
            "seams": lambda image=image: seams(image),  # type: ignore[misc]
        }
        rows[f"{width}x{height}"] = {name: median_ms(step) for name, step in steps.items()}
    return rows


def median_ms(step: Callable[[], object]) -> float:
    """Median milliseconds of a call."""
    times = []
    for _ in range(TIMED):
        begun_s = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun_s)
    return round(1000 * float(np.median(times)), 2)


if __name__ == "__main__":
    main()
