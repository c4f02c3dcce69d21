"""Fits the map of upper-face vectors: `python -m models.training.upper_face TRAINING WEIGHTS OUT` writes OUT.npy.

Needs no identities. Each bare photo is seen as it is and in two drawn masks, the second with the light and the blur of
a gate. The mean of all vectors is subtracted, half of it from each source of photos, so that people of both are far
from it. Directions in which the views of one photo differ are then reduced (within-class covariance normalisation).
The photos of `bench/same_person.txt` are left out: the accuracy is measured with them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.detectors.close_up import find_faces_closely
from models.detectors.face import make_detector
from models.recognition.embedding import EMBEDDINGS, Embedder
from models.recognition.upper_face import upper_features
from models.session import OnnxSession
from models.training.masks import Wardrobe, wear

_SOURCES = ("news", "portrait")
_VIEWS = 3
_SHRINK = 1.0  # of the within-class covariance towards its mean: 0.5 to 3 measured alike

Image = NDArray[np.uint8]
Vectors = NDArray[np.float32]


def main() -> None:
    """Fit the map and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("training", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=int, default=500, help="of each source")
    parser.add_argument("--leave-out", type=Path, default=Path("bench/same_person.txt"))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    entry = EMBEDDINGS["mobilefacenet"]
    embedder = Embedder("mobilefacenet", entry, OnnxSession(arguments.weights / "mobilefacenet_128.onnx"))
    wardrobe = Wardrobe(arguments.training / "mask_templates")
    left_out = set(arguments.leave_out.read_text(encoding="ascii").split())
    views: dict[str, Vectors] = {}
    for source in _SOURCES:
        photos = (photo for photo in _bare(arguments.training / "faces", source) if photo[0].stem not in left_out)
        views[source] = _views(embedder, wardrobe, photos, arguments.photos)
        print(f"{source}: {len(views[source])} photos", flush=True)
    np.save(arguments.out, fit(views))


def fit(views: Mapping[str, Vectors]) -> NDArray[np.float32]:
    """The affine map (1 + d, d) from vectors (photos, views, d) by source: mean, below it the matrix."""
    dimensions = next(iter(views.values())).shape[-1]
    mean = np.mean([each.reshape(-1, dimensions).mean(axis=0) for each in views.values()], axis=0)
    within = np.concatenate(
        [(each - each.mean(axis=1, keepdims=True)).reshape(-1, dimensions) for each in views.values()]
    )
    covariance = within.T.astype(np.float64) @ within / len(within)
    spread, axes = np.linalg.eigh(covariance + _SHRINK * np.trace(covariance) / dimensions * np.eye(dimensions))
    matrix = axes @ np.diag(spread**-0.5) @ axes.T
    return np.vstack((mean, matrix / np.linalg.norm(matrix, 2))).astype(np.float32)


def _bare(faces: Path, source: str) -> Iterator[tuple[Path, NDArray[np.float32]]]:
    """Photos of `source` with the landmarks of a bare face."""
    for line in (faces / "faces.jsonl").read_text(encoding="utf-8").splitlines():
        photo = json.loads(line)
        found = photo.get("teacher_faces") or [face for face in photo["faces"] if face["mask"] == "none"]
        if photo["image"].startswith(f"{source}/") and len(found) == 1 and found[0].get("landmarks"):
            yield faces / photo["image"], np.array(found[0]["landmarks"], np.float32)


def _views(
    embedder: Embedder, wardrobe: Wardrobe, photos: Iterator[tuple[Path, NDArray[np.float32]]], most: int
) -> Vectors:
    """Vectors (photos, views, d) before the map."""
    detector, found = make_detector("sentinel"), []
    for number, (path, landmarks) in enumerate(photos):
        image, rng = cv2.imread(str(path)), np.random.default_rng(number)
        if image is None:
            continue
        seen = [
            _upper(embedder, find_faces_closely(detector, view), view)
            for view in _dressed(image, landmarks, wardrobe, rng)
        ]
        vectors = [vector for vector in seen if vector is not None]
        if len(vectors) == _VIEWS:
            found.append(vectors)
        if len(found) == most:
            break
    return np.array(found, np.float32)


def _dressed(image: Image, landmarks: NDArray[np.float32], wardrobe: Wardrobe, rng: np.random.Generator) -> list[Image]:
    first, second = image.copy(), image.copy()
    wear(first, landmarks, wardrobe, rng, low=False)
    wear(second, landmarks, wardrobe, rng, low=False)
    blurred = cv2.GaussianBlur(second.astype(np.float32) * rng.uniform(0.5, 1.25), (0, 0), rng.uniform(0.3, 1.5))
    noisy = blurred + rng.normal(0, rng.uniform(2, 8), blurred.shape)
    return [image, first, np.clip(noisy, 0, 255).astype(np.uint8)]


def _upper(embedder: Embedder, faces: list, image: Image) -> NDArray[np.float32] | None:
    face = max(faces, key=lambda each: each.box[3], default=None)
    if face is None or face.landmarks is None:
        return None
    return upper_features(embedder, image, face.landmarks)


if __name__ == "__main__":
    main()
