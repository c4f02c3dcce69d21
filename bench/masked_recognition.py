"""Measures recognition with masks: `python -m bench.masked_recognition TRAINING WEIGHTS` prints JSON.

The photos of `bench/same_person.txt` (see `bench/recognition.py`) and others are cut to close-ups of 160 px that the
face fills, each once bare and twice with a drawn mask, and looked at as `edge-agent faces compare` does. Really masked
people have no identities here, so they serve as strangers only: pairs of one of them with a news or portrait photo.
The map of upper halves was fitted without the photos of the pairs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.recognition import MIDDLE, PAIRS, pairs
from edge_agent.faces.quality import Flaw, is_unmasked, main_face
from models.detections import Face, FaceDetector
from models.detectors.close_up import find_faces_closely
from models.detectors.face import make_detector
from models.detectors.timing import time_calls
from models.recognition.embedding import FaceEmbedders, FaceVectors
from models.recognition.make_embedders import make_embedders
from models.training.masks import Wardrobe, wear

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

SIDE_PX = 160
MARGIN = 0.12  # on each side of the face, in its longer sides
LIMITS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)


@dataclass(frozen=True)
class Look:
    """What the product saw in one close-up."""

    vectors: FaceVectors
    masked: bool


@dataclass(frozen=True)
class Tools:
    """The networks, and the masks to draw."""

    detector: FaceDetector
    embedders: FaceEmbedders
    wardrobe: Wardrobe


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("training", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--others", type=int, default=100, help="photos besides those of the pairs, of each source")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    embedders = make_embedders("mobilefacenet", data_dir=arguments.weights)
    tools = Tools(make_detector("sentinel"), embedders, Wardrobe(arguments.training / "mask_templates"))
    faces = arguments.training / "faces"
    paths = sorted((faces / "news").glob("*.jpg"))
    same, unsure = pairs(paths)
    in_pairs = sorted({photo for pair in same for photo in pair})
    others = [photo for photo in range(len(paths)) if photo not in in_pairs][: arguments.others]
    looks = {photo: _views(tools, paths[photo], photo) for photo in (*in_pairs, *others)}
    portraits = sorted((faces / "portrait").glob("*.jpg"))[: 3 * arguments.others]
    strangers = [each for path in portraits if (each := _as_it_is(tools, path)) is not None and not each.masked]
    really = (_as_it_is(tools, path) for path in sorted((faces / "masked").glob("*.jpg")))
    masked = list(islice((each for each in really if each is not None and each.masked), 2 * arguments.others))
    upper = embedders.upper
    assert upper is not None
    print(
        json.dumps(
            {
                "pairs": PAIRS.name,
                "close-ups": 3 * len(looks),
                "not one face": sum(each is None for views in looks.values() for each in views),
                "bare called masked": _share([v[0].masked for v in looks.values() if v[0] is not None]),
                "drawn mask called masked": _share([e.masked for v in looks.values() for e in v[1:] if e is not None]),
                "thresholds": {"whole": embedders.whole.threshold, "upper": upper.threshold},
                "bare and bare": _whole(looks, same, unsure, embedders.whole.threshold),
                "bare and masked": _upper(looks, same, unsure, (0, 1), upper.threshold),
                "masked and masked": _upper(looks, same, unsure, (1, 2), upper.threshold),
                "really masked strangers": {
                    "and portraits": _strangers(masked, strangers, upper.threshold),
                    "and news photos": _strangers(masked, [v[0] for v in looks.values() if v[0]], upper.threshold),
                },
                "ms": _times(tools, paths[0]),
            },
            indent=1,
        )
    )


def _views(tools: Tools, path: Path, seed: int) -> list[Look | None]:
    """A photo bare and in two drawn masks; None where not one face was found."""
    image, rng = cv2.imread(str(path)), np.random.default_rng(seed)
    face = min(find_faces_closely(tools.detector, image), key=_off_the_middle, default=None)
    if face is None or face.landmarks is None:
        return [None] * 3
    views = [image, image.copy(), image.copy()]
    for view in views[1:]:
        wear(view, face.landmarks, tools.wardrobe, rng, low=False)
    return [_look(tools, _close_up(view, face.box, rng)) for view in views]


def _off_the_middle(face: Face) -> float:
    x, y, width, height = face.box
    return abs(x + width / 2 - MIDDLE[0]) + abs(y + height / 2 - MIDDLE[1])


def _as_it_is(tools: Tools, path: Path) -> Look | None:
    image = cv2.imread(str(path))
    return None if image is None else _look(tools, image)


def _look(tools: Tools, image: Image) -> Look | None:
    face = main_face(find_faces_closely(tools.detector, image))
    if isinstance(face, Flaw) or face.landmarks is None:
        return None
    return Look(tools.embedders.embed(image, face.landmarks), not is_unmasked(face))


def _close_up(image: Image, box: tuple[float, float, float, float], rng: np.random.Generator) -> Image:
    x, y, width, height = box
    side = max(width, height) * (1 + 2 * MARGIN)
    middle = np.array((x + width / 2, y + height / 2)) + rng.normal(0, 0.03 * height, 2)
    scale = SIDE_PX / side
    into = np.array(((scale, 0, SIDE_PX / 2 - middle[0] * scale), (0, scale, SIDE_PX / 2 - middle[1] * scale)))
    return np.asarray(cv2.warpAffine(image, into, (SIDE_PX, SIDE_PX), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _whole(
    looks: dict[int, list[Look | None]], same: set[tuple[int, int]], unsure: set[tuple[int, int]], threshold: float
) -> dict[str, object]:
    seen = {photo: views[0].vectors.whole for photo, views in looks.items() if views[0] is not None}
    return _rates(seen, seen, same, unsure, threshold)


def _upper(
    looks: dict[int, list[Look | None]],
    same: set[tuple[int, int]],
    unsure: set[tuple[int, int]],
    views: tuple[int, int],
    threshold: float,
) -> dict[str, object]:
    first, second = ({photo: _upper_of(each[view]) for photo, each in looks.items() if each[view]} for view in views)
    return _rates(first, second, same, unsure, threshold)


def _upper_of(look: Look | None) -> Floats:
    assert look is not None
    assert look.vectors.upper is not None
    return look.vectors.upper


def _rates(
    first: dict[int, Floats],
    second: dict[int, Floats],
    same: set[tuple[int, int]],
    unsure: set[tuple[int, int]],
    threshold: float,
) -> dict[str, object]:
    """Rates over all pairs of a look of `first` and one of `second`; pairs of one person count in both directions."""
    own = {pair for one, other in same for pair in ((one, other), (other, one))}
    left_out = {pair for one, other in unsure for pair in ((one, other), (other, one))}
    genuine = np.array([first[one] @ second[other] for one, other in sorted(own) if one in first and other in second])
    impostors = np.sort(
        [
            float(a @ b)
            for one, a in first.items()
            for other, b in second.items()
            if one != other and (one, other) not in own and (one, other) not in left_out
        ]
    )
    limits = {f"{rate:g}": impostors[int(len(impostors) * (1 - rate))] for rate in (1e-2, 1e-3)}
    return {
        "pairs of one person": len(genuine),
        "pairs of two people": len(impostors),
        "accepted at false accept": {rate: _share(genuine >= limit) for rate, limit in limits.items()},
        "cosine at false accept": {rate: round(float(limit), 3) for rate, limit in limits.items()},
        "at the threshold": {
            "accepted": _share(genuine >= threshold),
            "false accepts": int((impostors >= threshold).sum()),
        },
        "accepted by threshold": {f"{limit:g}": _share(genuine >= limit) for limit in LIMITS},
        "false accepts by threshold": {f"{limit:g}": int((impostors >= limit).sum()) for limit in LIMITS},
    }


def _strangers(first: list[Look], second: Iterable[Look | None], threshold: float) -> dict[str, object]:
    scores = np.array([_upper_of(a) for a in first]) @ np.array([_upper_of(b) for b in second if b is not None]).T
    return {
        "pairs": scores.size,
        "false accepts": int((scores >= threshold).sum()),
        "false accepts by threshold": {f"{limit:g}": int((scores >= limit).sum()) for limit in LIMITS},
    }


def _times(tools: Tools, path: Path) -> dict[str, float]:
    """Milliseconds of CPU time, one thread."""
    image = cv2.imread(str(path))
    face = main_face(find_faces_closely(tools.detector, image))
    assert not isinstance(face, Flaw)
    landmarks, upper = face.landmarks, tools.embedders.upper
    assert landmarks is not None
    assert upper is not None
    return {
        "whole face": time_calls(lambda: tools.embedders.whole.embed(image, landmarks)).cpu_median_ms,
        "upper half": time_calls(lambda: upper.embed(image, landmarks)).cpu_median_ms,
        "close-ups": time_calls(lambda: find_faces_closely(tools.detector, image)).cpu_median_ms,
    }


def _share(hits: Iterable[bool] | NDArray[np.bool_]) -> float:
    return round(float(np.mean(list(hits))), 4)


if __name__ == "__main__":
    main()
