"""Run exported detectors and the classifier with onnxruntime on one thread, for evaluation. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import onnxruntime as ort

from models.training.crops import cut
from models.training.data import Floats, Pixels
from models.training.metrics import nms

LOWEST_SCORE = 0.05
NMS_IOU = 0.5


@dataclass(frozen=True, eq=False)
class Found:
    """Faces in one picture: boxes (n, 4) x0 y0 x1 y1 px, scores (n,), points (n, 5, 2), mask (n, 3) or None."""

    boxes: Floats
    scores: Floats
    points: Floats
    mask: Floats | None


class Finder(Protocol):
    """A detector under test."""

    def find(self, image: Pixels) -> Found: ...


def session(path: Path, threads: int = 1) -> ort.InferenceSession:
    """A session pinned to `threads`, without spinning."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def letterbox(image: Pixels, size: int) -> tuple[Floats, float]:
    """Longer side to `size` px, padded black right and below to multiples of 32: (1, 3, h, w) float32 and the scale."""
    h, w = image.shape[:2]
    scale = size / max(h, w)
    nw, nh = max(1, round(w * scale)), max(1, round(h * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, (nw, nh), interpolation=how)
    canvas = np.zeros((-(-nh // 32) * 32, -(-nw // 32) * 32, 3), np.float32)
    canvas[:nh, :nw] = small
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None]), scale


def cluster(boxes: Floats, scores: Floats, points: Floats, mask: Floats | None, scale: float) -> Found:
    """Suppress duplicates; with mask states, box and state of a kept face are score-squared means over its cluster.

    The mean box gains 0.9 points of AP. YuNet is run as by its authors.
    """
    keep = scores >= LOWEST_SCORE
    boxes, scores, points = boxes[keep], scores[keep], points[keep]
    groups = nms(boxes, scores, NMS_IOU)
    first = np.array([g[0] for g in groups], np.int64)
    if mask is None:
        return Found(boxes[first] / scale, scores[first], points[first] / scale, None)
    mask = mask[keep]
    weights = [scores[g, None] ** 2 / (scores[g] ** 2).sum() for g in groups]
    means = [(boxes[g] * w).sum(0) for g, w in zip(groups, weights, strict=True)]
    states = [(mask[g] * w).sum(0) for g, w in zip(groups, weights, strict=True)]
    return Found(
        np.array(means, np.float32).reshape(-1, 4) / scale,
        scores[first],
        points[first] / scale,
        np.array(states, np.float32).reshape(-1, 3),
    )


class Sentinel:
    """Our detector with its mask columns, multiplied by the output of the crop classifier if given.

    `fuse` is the classifier's exponent; the detector's is 1 - `fuse`.
    """

    def __init__(self, detector: Path, size: int = 320, classifier: Path | None = None, fuse: float = 0.5) -> None:
        self.size, self.fuse = size, fuse
        self.net = session(detector)
        self.judge = session(classifier) if classifier else None

    def find(self, image: Pixels) -> Found:
        x, scale = letterbox(image, self.size)
        out = self.net.run(None, {"image": x})[0][0]
        points = out[5:15].reshape(2, 5, -1).transpose(2, 1, 0)
        found = cluster(out[:4].T, out[4], points, out[15:18].T, scale)
        if self.judge is None or not len(found.boxes) or found.mask is None:
            return found
        mixed = self.states(image, found.boxes) ** self.fuse * (found.mask + 1e-6) ** (1 - self.fuse)
        return Found(found.boxes, found.scores, found.points, mixed / mixed.sum(1, keepdims=True))

    def states(self, image: Pixels, boxes: Floats) -> Floats:
        """Mask state probabilities (n, 3) of the faces in `boxes` x0 y0 x1 y1 by the crop classifier."""
        if self.judge is None:
            raise ValueError("no classifier was given")
        xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
        crops = np.stack([cut(image, b) for b in xywh]).transpose(0, 3, 1, 2).astype(np.float32)
        return np.asarray(self.judge.run(None, {"crops": crops})[0], np.float32)


class YuNet:
    """The public detector for comparison: dense outputs at strides 8, 16, 32, score = sqrt(cls * obj)."""

    def __init__(self, path: Path, size: int = 320) -> None:
        self.size = size
        self.net = session(path)
        self.names = [o.name for o in self.net.get_outputs()]
        self.input = self.net.get_inputs()[0].name

    def find(self, image: Pixels) -> Found:
        x, scale = letterbox(image, self.size)
        out = dict(zip(self.names, self.net.run(None, {self.input: x}), strict=True))
        boxes, scores, points = [], [], []
        for stride in (8, 16, 32):
            gy, gx = np.mgrid[: x.shape[2] // stride, : x.shape[3] // stride]
            cell = np.stack([gx.ravel(), gy.ravel()], 1).astype(np.float32)
            scores.append(np.sqrt(np.clip(out[f"cls_{stride}"] * out[f"obj_{stride}"], 0, 1)).reshape(-1))
            box = out[f"bbox_{stride}"].reshape(-1, 4)
            centre, half = (cell + box[:, :2]) * stride, np.exp(box[:, 2:]) * (stride / 2)
            boxes.append(np.concatenate([centre - half, centre + half], 1))
            points.append((out[f"kps_{stride}"].reshape(-1, 5, 2) + cell[:, None]) * stride)
        return cluster(np.concatenate(boxes), np.concatenate(scores), np.concatenate(points), None, scale)
