"""Detection and mask-state metrics from matched faces. Boxes are x0 y0 x1 y1 px throughout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.training.data import STATES, Floats

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MATCH_IOU = 0.5
MISSED = -1


def ious(a: Floats, b: Floats) -> Floats:
    """Overlap of every box of `a` (n, 4) with every box of `b` (m, 4): (n, m)."""
    both = _intersection(a, b)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(1), (b[:, 2:] - b[:, :2]).prod(1)
    return np.asarray(both / np.maximum(area_a[:, None] + area_b - both, 1e-9), np.float32)


def _intersection(a: Floats, b: Floats) -> Floats:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(2), np.float32)


def covered(a: Floats, b: Floats) -> Floats:
    """Share of each box of `a` that lies in each box of `b`: (n, m)."""
    return np.asarray(_intersection(a, b) / np.maximum((a[:, 2:] - a[:, :2]).prod(1), 1e-9)[:, None], np.float32)


@dataclass(frozen=True, eq=False)
class Picture:
    """Result of one picture: per detection its score, hit, counted (not in an ignore region); per face its detection.

    `states` (g,) are the true states; `found` (g,) the detection's number or -1.
    """

    scores: Floats
    hit: Bools
    counted: Bools
    states: Ints
    found: Ints


def match(boxes: Floats, scores: Floats, faces: Floats, states: Ints, ignore: Floats) -> Picture:
    """Match each detection, best score first, with the unmatched face of the largest IoU (at least 0.5).

    An unmatched detection that overlaps an ignore region by half (IoU or share of its own area) is not counted.
    """
    order = np.argsort(-scores, kind="stable")
    found = np.full(len(faces), MISSED, np.int64)
    hit, counted = np.zeros(len(boxes), np.bool_), np.ones(len(boxes), np.bool_)
    table = ious(boxes, faces)
    out_of_play = np.maximum(ious(boxes, ignore), covered(boxes, ignore)) if len(ignore) else None
    for d in order:
        free = np.where(found == MISSED, table[d], -1.0) if len(faces) else np.zeros(0)
        best = int(free.argmax()) if len(free) else -1
        if best >= 0 and free[best] >= MATCH_IOU:
            found[best], hit[d] = d, True
        elif out_of_play is not None and out_of_play[d].max() >= 0.5:
            counted[d] = False
    return Picture(scores, hit, counted, states, found)


def _curve(pictures: list[Picture]) -> tuple[Floats, Floats, int]:
    """Cumulative hits and false alarms in order of score, and the number of faces."""
    scores = np.concatenate([np.zeros(0), *(p.scores[p.counted] for p in pictures)])
    hits = np.concatenate([np.zeros(0, np.int64), *(p.hit[p.counted] for p in pictures)])
    hits = hits[np.argsort(-scores, kind="stable")]
    return np.cumsum(hits), np.cumsum(1 - hits), sum(len(p.found) for p in pictures)


def average_precision(pictures: list[Picture]) -> float:
    """Area under the precision envelope over recall, all points."""
    hits, alarms, faces = _curve(pictures)
    if not faces or not len(hits):
        return 0.0
    precision = np.maximum.accumulate((hits / (hits + alarms))[::-1])[::-1]
    steps = np.diff(np.concatenate([[0.0], hits / faces]))
    return float((precision * steps).sum())


def recall_at_alarms(pictures: list[Picture], per_picture: float = 1.0) -> float:
    """Share of faces found at the threshold that gives at most `per_picture` false alarms a picture."""
    hits, alarms, faces = _curve(pictures)
    within = hits[alarms <= per_picture * len(pictures)]
    return float(within[-1] / faces) if faces and len(within) else 0.0


@dataclass(frozen=True, eq=False)
class Judged:
    """Mask states of faces: truth (n,), prediction (n,) with -1 for a face that was not found."""

    truth: Ints
    answer: Ints


def confusion(judged: Judged) -> Ints:
    """Rows: true state; columns: predicted state, and last the faces not found. (3, 4)"""
    answer = np.where(judged.answer == MISSED, len(STATES), judged.answer)
    table = np.zeros((len(STATES), len(STATES) + 1), np.int64)
    np.add.at(table, (judged.truth, answer), 1)
    return table


def _mean(values: Floats) -> float:
    """Mean over the states that occur; NaN when none does."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def mask_figures(judged: Judged) -> dict[str, float]:
    """Metrics over found faces; `*_missed_wrong` counts a face not found as a wrong prediction."""
    table = confusion(judged)
    seen = table[:, : len(STATES)]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.diag(seen) / seen.sum(1)
        recall_all = np.diag(seen) / table.sum(1)
        total = seen.sum()
        proper = seen[0, 0] + seen[1:, 1:].sum()
        worn = seen[:2, :2].sum() + seen[2, 2]
        return {
            "balanced": _mean(recall),
            **{f"recall_{name}": float(r) for name, r in zip(STATES, recall, strict=True)},
            "properly_worn": float(proper / total),
            "mask_vs_none": float(worn / total),
            "balanced_missed_wrong": _mean(recall_all),
            "properly_worn_missed_wrong": float(proper / table.sum()),
        }


def nms(boxes: Floats, scores: Floats, iou: float) -> list[Ints]:
    """Greedy suppression: for each box kept, best first, the numbers of its cluster (itself first)."""
    order = np.argsort(-scores, kind="stable")
    clusters: list[Ints] = []
    while len(order):
        near = ious(boxes[order[:1]], boxes[order])[0] >= iou
        near[0] = True
        clusters.append(order[near])
        order = order[~near]
    return clusters
