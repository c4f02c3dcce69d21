"""Measure exported networks on the held-out pictures, next to YuNet-n, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from models.training.augment import jpeg, motion_blur, turn_box
from models.training.data import STATES, Album, Floats, Pixels, Sample
from models.training.metrics import (
    MISSED,
    Bools,
    Judged,
    Picture,
    average_precision,
    confusion,
    mask_figures,
    match,
    recall_at_alarms,
)
from models.training.runner import LOWEST_SCORE, Finder, Found, Sentinel, YuNet, letterbox

SMALLEST_PX = (32.0, 64.0)
#: mask states are evaluated on faces that the gate would use: found with at least this score
THRESHOLD = 0.45
#: half boundaries of the size table, px in the picture capped at 640
SIZE_BANDS = ((32.0, 48.0), (48.0, 96.0), (96.0, 1e9))
DARK, BRIGHT = 80.0, 150.0
RESAMPLES = 300


Case = tuple[Sample, Pixels]


def turned(case: Case, degrees: float) -> Case:
    """The picture rotated about its centre, same size, with its boxes."""
    sample, image = case
    h, w = image.shape[:2]
    matrix = np.asarray(cv2.getRotationMatrix2D((w / 2, h / 2), degrees, 1.0), np.float32)

    def move(boxes: Floats) -> Floats:
        moved = np.array([turn_box(b, matrix) for b in boxes], np.float32).reshape(-1, 4)
        return np.concatenate([moved[:, :2], moved[:, 2:] - moved[:, :2]], 1)

    middles = sample.boxes[:, :2] + sample.boxes[:, 2:] / 2
    middles = middles @ matrix[:, :2].T + matrix[:, 2]
    # faces rotated out of the picture are ignored, not missed
    inside = ((middles > 0) & (middles < (w, h))).all(1)
    boxes = move(sample.boxes)
    kept = replace(
        sample,
        boxes=boxes[inside],
        states=sample.states[inside],
        landmarks=sample.landmarks[inside],
        ignore=np.concatenate([move(sample.ignore), boxes[~inside]]),
    )
    return kept, np.asarray(cv2.warpAffine(image, matrix, (w, h)), np.uint8)


def spoiled_by(spoil: Callable[[Pixels], Pixels]) -> Callable[[Case], Case]:
    """A degradation that does not move boxes."""
    return lambda case: (case[0], spoil(case[1]))


#: effects of a poor camera, a dark evening and a tilted head
DEGRADATIONS: dict[str, Callable[[Case], Case]] = {
    "clean": lambda case: case,
    "quarter_light": spoiled_by(lambda image: (image // 4).astype(np.uint8)),
    "motion_blur_9px": spoiled_by(lambda image: motion_blur(image, 9, 0.0)),
    "jpeg_30": spoiled_by(lambda image: jpeg(image, 30)),
    "turned_30_degrees": lambda case: turned(case, 30.0),
}


def corners(xywh: Floats) -> Floats:
    """Boxes x y w h -> x0 y0 x1 y1."""
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)


@dataclass(eq=False)
class Run:
    """Detections of one detector in the held-out pictures, one entry per picture."""

    pictures: list[Picture] = field(default_factory=list)
    answers: list[np.ndarray[Any, np.dtype[np.int64]]] = field(default_factory=list)
    sizes: list[Floats] = field(default_factory=list)
    lights: list[Floats] = field(default_factory=list)

    def judged(self, keep: Callable[[int], Bools] | None = None, chosen: Iterable[int] | None = None) -> Judged:
        """Mask states of the faces of `chosen` pictures; `keep(i)` picks faces of picture i."""
        truth, answer = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for i in range(len(self.pictures)) if chosen is None else chosen:
            some = keep(i) if keep else np.ones(len(self.answers[i]), np.bool_)
            truth.append(self.pictures[i].states[some])
            answer.append(self.answers[i][some])
        return Judged(np.concatenate(truth), np.concatenate(answer))


def judge(picture: Picture, found: Found, threshold: float) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Predicted state of each true face, -1 where it was not found with at least `threshold`."""
    answer = np.full(len(picture.found), MISSED, np.int64)
    if found.mask is None:
        return answer
    for k, d in enumerate(picture.found):
        if d != MISSED and found.scores[d] >= threshold:
            answer[k] = int(found.mask[d].argmax())
    return answer


def look(
    finder: Finder,
    samples: list[Case],
    smallest_px: float,
    threshold: float = THRESHOLD,
    founds: list[Found] | None = None,
) -> Run:
    """Match detections with the truth; faces below `smallest_px` and unlabelled faces are ignored."""
    run = Run()
    for i, (sample, image) in enumerate(samples):
        found = founds[i] if founds else finder.find(image)
        faces, size = corners(sample.boxes), sample.boxes[:, 2:].max(1, initial=0)
        large = size >= smallest_px
        ignore = np.concatenate([faces[~large], corners(sample.ignore)])
        picture = match(found.boxes, found.scores, faces[large], sample.states[large], ignore)
        run.pictures.append(picture)
        run.answers.append(judge(picture, found, threshold))
        run.sizes.append(size[large])
        run.lights.append(np.array([_light(image, b) for b in sample.boxes[large]], np.float32))
    return run


def _light(image: Pixels, box: Floats) -> float:
    x, y, w, h = (int(v) for v in box)
    patch = image[max(y, 0) : y + h, max(x, 0) : x + w]
    return float(patch.mean()) if patch.size else 0.0


def detection_figures(run: Run, chosen: list[int] | None = None) -> dict[str, float]:
    """AP at IoU 0.5 and recall at one false alarm a picture."""
    pictures = run.pictures if chosen is None else [run.pictures[i] for i in chosen]
    return {"ap50": average_precision(pictures), "recall_at_1_fp": recall_at_alarms(pictures)}


def intervals(run: Run, with_mask: bool, resamples: int = RESAMPLES) -> dict[str, list[float]]:
    """95 % bootstrap intervals, resampling whole pictures."""
    rng = np.random.default_rng(0)
    rows: dict[str, list[float]] = {}
    n = len(run.pictures)
    for _ in range(resamples):
        chosen = rng.integers(0, n, n).tolist()
        figures = detection_figures(run, chosen)
        if with_mask:
            figures |= mask_figures(run.judged(chosen=chosen))
        for name, value in figures.items():
            rows.setdefault(name, []).append(value)
    known = {k: np.array(v)[np.isfinite(v)] for k, v in rows.items()}
    return {k: [float(q) for q in np.percentile(v, (2.5, 97.5))] for k, v in known.items() if len(v)}


def bands(run: Run) -> dict[str, Any]:
    """Recall of faces at the running threshold and mask figures by face size and by light on the face."""
    out: dict[str, Any] = {}
    keeps: dict[str, Callable[[int], Bools]] = {}
    for low, high in SIZE_BANDS:
        name = f"size_{low:.0f}_{high:.0f}" if high < 1e6 else f"size_{low:.0f}_up"
        keeps[name] = lambda i, low=low, high=high: (run.sizes[i] >= low) & (run.sizes[i] < high)  # type: ignore[misc]
    keeps["dark"] = lambda i: run.lights[i] < DARK
    keeps["medium"] = lambda i: (run.lights[i] >= DARK) & (run.lights[i] < BRIGHT)
    keeps["bright"] = lambda i: run.lights[i] >= BRIGHT
    for name, keep in keeps.items():
        judged = run.judged(keep)
        found = float((judged.answer != MISSED).mean()) if len(judged.answer) else float("nan")
        out[name] = {"faces": len(judged.truth), "found": found, **mask_figures(judged)}
    return out


def time_ms(
    finders: dict[str, Sentinel | YuNet], image: Pixels, size: int, rounds: int = 60
) -> dict[str, dict[str, float]]:
    """Median CPU ms of one thread for a square `size` input and for `image` letterboxed, measured alternately."""
    square = np.ascontiguousarray(np.random.default_rng(0).uniform(0, 255, (1, 3, size, size)).astype(np.float32))
    boxed, _ = letterbox(image, size)
    spent: dict[str, dict[str, list[float]]] = {
        k: {"net_square": [], "net_letterboxed": [], "whole": []} for k in finders
    }
    for _ in range(rounds):
        for name, finder in finders.items():
            feed = finder.net.get_inputs()[0].name
            for kind, work in (
                ("net_square", lambda f=finder, k=feed: f.net.run(None, {k: square})),
                ("net_letterboxed", lambda f=finder, k=feed: f.net.run(None, {k: boxed})),
                ("whole", lambda f=finder: f.find(image)),
            ):
                start = time.process_time()
                work()  # type: ignore[no-untyped-call]
                spent[name][kind].append(1e3 * (time.process_time() - start))
    return {name: {k: float(np.median(v)) for k, v in kinds.items()} for name, kinds in spent.items()}


def evaluate(
    album: Album,
    detector: Path,
    classifier: Path | None,
    yunet: Path | None,
    size: int = 320,
    fuse: float = 0.5,
) -> dict[str, Any]:
    """All metrics, for JSON."""
    cv2.setNumThreads(0)
    ours = Sentinel(detector, size, classifier, fuse)
    samples = [(album.samples[i], np.ascontiguousarray(album.pixels(i))) for i in album.testing()]
    report: dict[str, Any] = {
        "pictures": len(samples),
        "input": size,
        "threshold": THRESHOLD,
        "states": STATES,
        "missed_faces": "mask figures are over faces found (IoU >= 0.5, score >= threshold; any_score: >= 0.05);"
        " *_missed_wrong counts a face not found as a wrong prediction",
        "ours": {},
        "yunet_n": {},
    }
    finders: dict[str, Sentinel | YuNet] = {"ours": ours}
    if yunet:
        finders["yunet_n"] = YuNet(yunet, size)
    for name, finder in finders.items():
        founds = [finder.find(image) for _, image in tqdm(samples, desc=name, mininterval=5)]
        for smallest in SMALLEST_PX:
            run = look(finder, samples, smallest, founds=founds)
            part: dict[str, Any] = {
                "faces": sum(len(p.found) for p in run.pictures),
                **detection_figures(run),
            }
            if name == "ours":
                judged = run.judged()
                part |= mask_figures(judged) | {"confusion": confusion(judged).tolist()}
                loose = look(finder, samples, smallest, LOWEST_SCORE, founds).judged()
                part["any_score"] = mask_figures(loose) | {"confusion": confusion(loose).tolist()}
                if smallest == SMALLEST_PX[0]:
                    part["bands"] = bands(run)
            part["interval_95"] = intervals(run, name == "ours")
            report[name][f"faces_{smallest:.0f}px"] = part
    report["degraded"] = degraded(ours, samples)
    report["ms"] = time_ms(finders, np.zeros((480, 640, 3), np.uint8), size)
    if ours.judge is not None:
        report["ms"]["one_crop"] = crop_ms(ours)
    return report


def degraded(finder: Finder, samples: list[Case]) -> dict[str, dict[str, float]]:
    """The main metrics under each degradation."""
    out = {}
    for name, spoil in DEGRADATIONS.items():
        spoiled = [spoil(case) for case in tqdm(samples, desc=name, mininterval=5)]
        run = look(finder, spoiled, SMALLEST_PX[0])
        out[name] = detection_figures(run) | mask_figures(run.judged())
    return out


def crop_ms(finder: Sentinel, rounds: int = 100) -> float:
    """Median CPU ms of the second stage for one face, crop included."""
    image = np.zeros((480, 640, 3), np.uint8)
    box = np.array([[250, 150, 370, 300]], np.float32)
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        finder.states(image, box)
        spent.append(1e3 * (time.process_time() - start))
    return float(np.median(spent))


def table(report: dict[str, Any]) -> str:
    """The confusion of faces >= 32 px as text."""
    rows = report["ours"][f"faces_{SMALLEST_PX[0]:.0f}px"]["confusion"]
    head = "true \\ answer".ljust(14) + "".join(s.rjust(11) for s in (*STATES, "not found"))
    lines = [name.ljust(14) + "".join(str(v).rjust(11) for v in row) for name, row in zip(STATES, rows, strict=True)]
    return "\n".join([head, *lines]) + "\n"
