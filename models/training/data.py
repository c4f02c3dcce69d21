"""Read the annotated pictures, group near-duplicates, split by group, and cache the decoded pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

Floats = NDArray[np.floating[Any]]
Pixels = NDArray[np.uint8]

#: order of the mask states in every array of this package and in the exported files
STATES = ("correct", "incorrect", "none")
UNKNOWN = -1
LONG_SIDE_PX = 640
HELD_OUT_ONE_IN = 8
ANNOTATED = ("street", "crowd")
#: minimum score of a teacher's box; below it the region is neither face nor background
TEACHER_TRUST = 0.6
#: an unlabelled face is used as a face of unknown mask state from this score of the teacher on
UNLABELLED_TRUST = 0.75
#: how people drew boxes on street/ and crowd/, relative to the teacher's box (median of x, y by state, in its w and h):
#: the teacher's boxes include the forehead; people's boxes start at the brow and include the whole mask at the chin
HUMAN_TOP = 0.12
HUMAN_BOTTOM = {0: 0.06, 1: 0.06, 2: -0.01, UNKNOWN: 0.03}


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture: boxes (n, 4) x y w h px, states (n,) index into STATES or -1, landmarks (n, 5, 2) NaN where unknown.

    `ignore` (m, 4) x y w h: neither face nor background.
    """

    image: str
    width: int
    height: int
    boxes: Floats
    states: NDArray[np.int64]
    landmarks: Floats
    ignore: Floats

    @property
    def folder(self) -> str:
        return self.image.split("/", 1)[0]


def _human_box(box: list[float], state: int) -> list[float]:
    """A teacher's box moved to where people draw it."""
    x, y, w, h = box
    top = y + HUMAN_TOP * h
    return [x, top, w, y + h * (1 + HUMAN_BOTTOM[state]) - top]


def parse(row: dict[str, Any], learning: bool = False) -> Sample:
    """One line of faces.jsonl. Teacher-made boxes are moved to the human convention.

    When `learning`, unlabelled faces with a high score of the teacher become faces; otherwise all are ignored.
    """
    image = str(row["image"])
    human = image.split("/", 1)[0] in ANNOTATED
    ignore = [f["box"] for f in row["unlabelled_faces"]]
    unlabelled = [f for f in row["unlabelled_faces"] if learning and f["teacher_score"] >= UNLABELLED_TRUST]
    boxes, states, points = [], [], []
    for face in [*row["faces"], *row.get("teacher_faces", [])]:
        if not human and face["teacher_score"] < TEACHER_TRUST and not row["faces"]:
            ignore.append(face["box"])
            continue
        # news/ predates masks in the street: the faces found there by the teacher are bare
        state = STATES.index(face.get("mask") or "none")
        boxes.append(face["box"] if human else _human_box(face["box"], state))
        states.append(state)
        points.append(face.get("landmarks") or [[np.nan, np.nan]] * 5)
    for face in unlabelled:
        ignore.remove(face["box"])
        boxes.append(_human_box(face["box"], UNKNOWN))
        states.append(UNKNOWN)
        points.append(face.get("landmarks") or [[np.nan, np.nan]] * 5)
    return Sample(
        image,
        int(row["width"]),
        int(row["height"]),
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(states, np.int64).reshape(-1),
        np.asarray(points, np.float32).reshape(-1, 5, 2),
        np.asarray(ignore, np.float32).reshape(-1, 4),
    )


def read(root: Path) -> list[Sample]:
    """Every picture listed in `root`/faces.jsonl, in its order."""
    with (root / "faces.jsonl").open(encoding="utf-8") as lines:
        return [parse(json.loads(line)) for line in lines]


def fingerprint(image: Pixels) -> NDArray[np.bool_]:
    """256 bits that survive scaling, JPEG and small changes of light: signs of differences of a 16x17 thumbnail."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image
    small = cv2.resize(grey, (17, 16), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.asarray(small[:, 1:] > small[:, :-1]).reshape(-1)


def group(prints: NDArray[np.bool_], most_bits: int = 38) -> NDArray[np.int64]:
    """Group number of each row of `prints` (n, 256): rows, or their mirror image, closer than `most_bits` share one."""
    n = len(prints)
    signs = np.where(prints, 1, -1).astype(np.float32)
    mirrored = -signs.reshape(n, 16, 16)[:, :, ::-1].reshape(n, -1)
    parent = np.arange(n)

    def top(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    bits = prints.shape[1]
    for i in range(n):
        agreement = np.maximum(signs[i:] @ signs[i], mirrored[i:] @ signs[i])
        for j in np.flatnonzero(bits - agreement <= 2 * most_bits)[1:]:
            a, b = top(i), top(i + int(j))
            parent[max(a, b)] = min(a, b)
    return np.array([top(i) for i in range(n)], np.int64)


def held_out(images: list[str], groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pictures belong to held-out groups: one group in eight of those holding a street/ or crowd/ picture.

    Decided by a hash of the group's first name, so it does not move when pictures are added elsewhere.
    """
    first: dict[int, str] = {}
    annotated: set[int] = set()
    for name, g in zip(images, groups.tolist(), strict=True):
        first[g] = min(name, first.get(g, name))
        if name.split("/", 1)[0] in ANNOTATED:
            annotated.add(g)
    chosen = {g for g in annotated if hashlib.sha256(first[g].encode()).digest()[0] % HELD_OUT_ONE_IN == 0}
    return np.array([g in chosen for g in groups.tolist()], np.bool_)


class Album:
    """Decoded pictures in memory (2 GB), with a half-size copy of each, shared by forked workers.

    A memory-mapped file was 3 times slower per batch, because each crop faults in new pages.
    """

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        self.held_out: list[bool] = index["held_out"]
        self.samples = [parse(row, not out) for row, out in zip(index["rows"], self.held_out, strict=True)]
        self._places: list[list[list[int]]] = index["places"]
        self._pixels = np.fromfile(folder / "pixels.bin", np.uint8)
        self._pixels.flags.writeable = False

    def __len__(self) -> int:
        return len(self.samples)

    def pixels(self, i: int, half: int = 0) -> Pixels:
        """Picture `i` (h, w, 3) BGR; `half` = 1 gives the half-size copy. Read-only."""
        start, h, w = self._places[i][half]
        flat: Pixels = self._pixels[start : start + h * w * 3]
        return flat.reshape(h, w, 3)

    def training(self) -> list[int]:
        """Numbers of the training pictures."""
        return [i for i, out in enumerate(self.held_out) if not out]

    def testing(self) -> list[int]:
        """Numbers of the held-out street/ and crowd/ pictures."""
        return [i for i, out in enumerate(self.held_out) if out and self.samples[i].folder in ANNOTATED]


def _decoded(root: Path, rows: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Pixels]]:
    for row in rows:
        image = cv2.imread(str(root / row["image"]), cv2.IMREAD_COLOR)
        if image is None:
            raise FileNotFoundError(root / row["image"])
        if max(image.shape[:2]) > LONG_SIDE_PX or image.shape[:2] != (row["height"], row["width"]):
            raise ValueError(
                f"{row['image']}: {image.shape[1]}x{image.shape[0]} px is not as listed, or over the limit"
            )
        yield row, np.asarray(image, np.uint8)


def prepare(root: Path, folder: Path) -> dict[str, int]:
    """Decode `root` into `folder` (pixels.bin, index.json), private because it shows people; returns counts."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in (root / "faces.jsonl").read_text(encoding="utf-8").splitlines()]
    places, prints, offset = [], [], 0
    with (folder / "pixels.bin").open("wb") as out:
        for _, image in tqdm(_decoded(root, rows), total=len(rows), desc="decode", unit="img"):
            prints.append(fingerprint(image))
            h, w = image.shape[:2]
            half = cv2.resize(image, (max(1, w // 2), max(1, h // 2)), interpolation=cv2.INTER_AREA)
            copies = []
            for copy in (image, half):
                out.write(np.ascontiguousarray(copy).tobytes())
                copies.append([offset, copy.shape[0], copy.shape[1]])
                offset += copy.size
            places.append(copies)
    groups = group(np.stack(prints))
    kept_apart = held_out([str(r["image"]) for r in rows], groups)
    index = {"rows": rows, "places": places, "groups": groups.tolist(), "held_out": kept_apart.tolist()}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    return {"pictures": len(rows), "groups": len(set(groups.tolist())), "held out": int(kept_apart.sum())}
