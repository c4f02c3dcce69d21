"""Measures face recognition: `python -m bench.recognition TRAINING WEIGHTS` prints JSON.

The photos (TRAINING/faces/news) have no identities. The pairs in `bench/same_person.txt` were found by two networks and
checked by eye. Difficult pairs were probably missed, so the acceptance rate of natural pairs is an upper bound. All
other pairs show different people. A probe "at the gate" is the same photo rotated, darkened, blurred and with noise; it
does not include the effects of age, glasses or another day. Masks are drawn.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.faces.gallery import Gallery
from edge_agent.faces.register import MOST_PEOPLE
from models.detections import Face, FaceDetector
from models.detectors.face import make_detector
from models.detectors.timing import time_calls
from models.recognition.embedding import EMBEDDINGS, Embedder
from models.recognition.liveness import PACKS, Liveness
from models.session import OnnxSession
from models.training.masks import Wardrobe, wear

Image = NDArray[np.uint8]
Vectors = NDArray[np.float32]
Change = Callable[[Image, Face, np.random.Generator], Image]

PAIRS = Path(__file__).with_name("same_person.txt")
MIDDLE = (125, 125)  # of a news photo, where its subject is


@dataclass(frozen=True)
class Tools:
    """The networks, and the masks to draw."""

    detector: FaceDetector
    embedder: Embedder
    liveness: Liveness
    wardrobe: Wardrobe


@dataclass(frozen=True)
class Probes:
    """Vectors (n, d) of some photos, the indexes of these photos, and their liveness scores."""

    vectors: Vectors
    photos: NDArray[np.intp]
    live: NDArray[np.float64]


def main() -> None:
    """Evaluate every photo in every way and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("training", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--probes", type=int, default=500, help="number of photos used as probes, besides the pairs")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    tools = _tools(arguments.training, arguments.weights)
    paths = sorted((arguments.training / "faces" / "news").glob("*.jpg"))
    known = embedded(tools, paths, range(len(paths)), _as_it_is)
    same, unsure = pairs(paths)
    chosen = sorted({photo for pair in same for photo in pair} | set(range(arguments.probes)))
    masked = _masked(tools.wardrobe)
    ways = {
        "bare": known,
        "bare, at the gate": embedded(tools, paths, chosen, _at_the_gate),
        "masked": embedded(tools, paths, chosen, masked),
        "masked, at the gate": embedded(tools, paths, chosen, _both(masked, _at_the_gate)),
    }
    dressed = embedded(tools, paths, chosen, _both(lambda image, _face, rng: _skipped(image, rng), masked))
    attacks = {"drawn print": _print, "drawn screen": _screen}
    report = {
        "photos": len(known.photos),
        "pairs of one person": len(same),
        "ways": {name: acceptance(known, probes, same, unsure) for name, probes in ways.items()}
        | {
            "masked, at the gate, registered in another mask": acceptance(
                dressed, ways["masked, at the gate"], same, unsure
            )
        },
        "live": {name: _rates(probes.live) for name, probes in ways.items()}
        | {name: _rates(embedded(tools, paths, chosen[:300], attack).live) for name, attack in attacks.items()},
        "ms": times(tools, cv2.imread(str(paths[0]))),
    }
    print(json.dumps(report, indent=1))


def embedded(tools: Tools, paths: list[Path], photos: Iterable[int], change: Change) -> Probes:
    """The central face of each photo after `change`; photos without a detected face are left out."""
    vectors, used, live = [], [], []
    for photo in photos:
        image = cv2.imread(str(paths[photo]))
        if (before := _middle(tools.detector, image)) is None:
            continue
        seen = change(image, before, np.random.default_rng(photo))
        if (face := _middle(tools.detector, seen)) is None or face.landmarks is None:
            continue
        vectors.append(tools.embedder.embed(seen, face.landmarks))
        live.append(tools.liveness.live_probability(seen, face.box))
        used.append(photo)
    return Probes(np.array(vectors), np.array(used), np.array(live))


def acceptance(
    known: Probes, probes: Probes, same: set[tuple[int, int]], unsure: set[tuple[int, int]]
) -> dict[str, object]:
    """Acceptance rates over all pairs of a probe and a known photo."""
    scores = probes.vectors @ known.vectors.T
    row_of = {photo: row for row, photo in enumerate(probes.photos)}
    column_of = {photo: column for column, photo in enumerate(known.photos)}
    others = np.ones(scores.shape, bool)
    for row, photo in enumerate(probes.photos):
        others[row, known.photos == photo] = False
    natural = []
    for first, second in same | unsure:
        for one, other in ((first, second), (second, first)):
            if one in row_of and other in column_of:
                row, column = row_of[one], column_of[other]
                others[row, column] = False
                if (first, second) in same:
                    natural.append(scores[row, column])
    impostors = np.sort(scores[others])
    own = np.array([scores[row_of[photo], column_of[photo]] for photo in row_of if photo in column_of])
    best = np.where(others, scores, -1).max(axis=1)
    limits = {f"{rate:g}": float(impostors[int(len(impostors) * (1 - rate))]) for rate in (1e-3, 1e-4, 1e-5)}
    return {
        "pairs of two people": len(impostors),
        "threshold at false accept": {rate: round(limit, 3) for rate, limit in limits.items()},
        "natural pairs accepted": {rate: _share(np.array(natural) >= limit) for rate, limit in limits.items()},
        "same photo accepted": {rate: _share(own >= limit) for rate, limit in limits.items()},
        "by threshold": {
            f"{limit:g}": {
                "false accepts of a million pairs": round(float((impostors >= limit).mean()) * 1e6, 1),
                f"strangers taken for one of {len(known.photos)}": _share(best >= limit),
                "natural pairs accepted": _share(np.array(natural) >= limit),
                "same photo accepted": _share(own >= limit),
            }
            for limit in (0.45, 0.5, 0.55, 0.6, 0.65)
        },
    }


def pairs(paths: list[Path]) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Pairs of photos that show the same person, and pairs that may."""
    place = {path.stem: photo for photo, path in enumerate(paths)}
    found: dict[str, set[tuple[int, int]]] = {"=": set(), "?": set()}
    for line in PAIRS.read_text(encoding="ascii").splitlines()[1:]:
        sign, first, second = line.split()
        found[sign].add((place[first], place[second]))
    return found["="], found["?"]


def times(tools: Tools, image: Image) -> dict[str, float]:
    """Milliseconds of CPU time, one thread."""
    face = _middle(tools.detector, image)
    assert face is not None
    assert face.landmarks is not None
    landmarks, people = face.landmarks, np.random.default_rng(1).normal(size=(MOST_PEOPLE, 128)).astype(np.float32)
    vector = tools.embedder.embed(image, landmarks)
    gallery = Gallery(tuple(map(str, range(MOST_PEOPLE))), people)
    return {
        "embedding": time_calls(lambda: tools.embedder.embed(image, landmarks)).cpu_median_ms,
        "liveness": time_calls(lambda: tools.liveness.live_probability(image, face.box)).cpu_median_ms,
        f"match with {MOST_PEOPLE}": time_calls(lambda: gallery.nearest(vector)).cpu_median_ms,
    }


def _as_it_is(image: Image, _face: Face, _rng: np.random.Generator) -> Image:
    return image


def _at_the_gate(image: Image, _face: Face, rng: np.random.Generator) -> Image:
    """Rotated by up to 10 degrees, scaled, darkened, blurred, with noise and JPEG compression."""
    turn = cv2.getRotationMatrix2D(MIDDLE, rng.uniform(-10, 10), rng.uniform(0.7, 1.2))
    seen = cv2.warpAffine(image, turn, (250, 250), borderMode=cv2.BORDER_REFLECT).astype(np.float32)
    seen = cv2.GaussianBlur(seen * rng.uniform(0.5, 1.25), (0, 0), rng.uniform(0.3, 1.5))
    seen = np.clip(seen + rng.normal(0, rng.uniform(2, 10), seen.shape), 0, 255).astype(np.uint8)
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", seen, (cv2.IMWRITE_JPEG_QUALITY, 70))[1], 1), np.uint8)


def _masked(wardrobe: Wardrobe) -> Change:
    def change(image: Image, face: Face, rng: np.random.Generator) -> Image:
        seen = image.copy()
        if face.landmarks is not None:
            wear(seen, face.landmarks, wardrobe, rng, low=False)
        return seen

    return change


def _skipped(image: Image, rng: np.random.Generator) -> Image:
    """The same picture, with a different sequence of random numbers for later changes."""
    rng.bytes(64)
    return image


def _both(first: Change, second: Change) -> Change:
    return lambda image, face, rng: second(first(image, face, rng), face, rng)


def _print(image: Image, _face: Face, rng: np.random.Generator) -> Image:
    """The photo printed on a sheet in front of a plain wall: less contrast, a white border."""
    scene = np.full((250, 250, 3), rng.uniform(90, 170), np.uint8)
    sheet = cv2.copyMakeBorder(cv2.resize(image, (150, 150)), 8, 8, 8, 8, cv2.BORDER_CONSTANT, value=(235, 235, 235))
    scene[42:208, 42:208] = np.clip(sheet.astype(np.float32) * 0.75 + 35, 0, 255).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), 0.6), np.uint8)


def _screen(image: Image, _face: Face, rng: np.random.Generator) -> Image:
    """The photo on a phone: black frame, blue tint, moire lines."""
    scene = np.full((250, 250, 3), rng.uniform(90, 170), np.uint8)
    cv2.rectangle(scene, (40, 10), (210, 240), (15, 15, 15), -1)
    shown = cv2.resize(image, (160, 160)).astype(np.float32) * (1.15, 1.0, 0.9)
    rows = np.arange(160)[:, None] + 0.3 * np.arange(160)[None]
    shown *= 1 + 0.06 * np.sin(rows * rng.uniform(0.8, 2.2))[..., None]
    scene[45:205, 45:205] = np.clip(shown, 0, 255).astype(np.uint8)
    return scene


def _middle(detector: FaceDetector, image: Image) -> Face | None:
    def off(face: Face) -> float:
        x, y, w, h = face.box
        return abs(x + w / 2 - MIDDLE[0]) + abs(y + h / 2 - MIDDLE[1])

    return min(detector.detect(image), key=off, default=None)


def _rates(live: NDArray[np.float64]) -> dict[str, object]:
    return {f"called live from {limit:g}": _share(live >= limit) for limit in (0.5, 0.7, 0.9)}


def _share(hits: NDArray[np.bool_]) -> str:
    """`hits` in percent with Wilson's 95 % interval."""
    n, p, z = len(hits), float(hits.mean()), 1.96
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (max(0.0, middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return f"{100 * p:.1f} % ({100 * low:.1f}-{100 * high:.1f}) of {n}"


def _tools(training: Path, weights: Path) -> Tools:
    name = "mobilefacenet"
    files = ("minifasnet_v2_80x80.onnx", "minifasnet_v1se_80x80.onnx")
    return Tools(
        detector=make_detector("sentinel"),
        embedder=Embedder(name, EMBEDDINGS[name], OnnxSession(weights / "mobilefacenet_128.onnx")),
        liveness=Liveness(
            [(OnnxSession(weights / file), reach) for file, (_, reach) in zip(files, PACKS, strict=True)]
        ),
        wardrobe=Wardrobe(training / "mask_templates"),
    )


if __name__ == "__main__":
    main()
