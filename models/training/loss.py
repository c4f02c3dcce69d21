"""Loss of the detector."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.training.assign import Anchors, Decoded, assign, overlap

BOX_WEIGHT, POINT_WEIGHT, MASK_WEIGHT = 3.0, 4.0, 1.0
SMOOTHING = 0.05
#: weight of the teacher's part, and the score of the teacher from which its boxes and landmarks are used
TEACHER_WEIGHT, TEACHER_SURE = 0.4, 0.3


@dataclass(frozen=True)
class Truth:
    """A batch's labels, zero-padded, px: boxes (n, g, 4) x0 y0 x1 y1, states (n, g), points (n, g, 5, 2).

    `ignore` (n, m, 4): neither face nor background.
    """

    boxes: Tensor
    states: Tensor
    points: Tensor
    ignore: Tensor


def box_loss(a: Tensor, b: Tensor) -> Tensor:
    """1 - IoU plus squared distances of centres and sides over the enclosing box (EIoU), per row (k, 4) px."""
    low, high = torch.minimum(a[:, :2], b[:, :2]), torch.maximum(a[:, 2:], b[:, 2:])
    span = ((high - low) ** 2).clamp(min=1e-3)
    centre = ((a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2) ** 2
    sides = ((a[:, 2:] - a[:, :2]) - (b[:, 2:] - b[:, :2])) ** 2
    return 1 - overlap(a, b) + centre.sum(1) / span.sum(1) + (sides / span).sum(1)


def detector_loss(found: Decoded, cells: Anchors, truth: Truth) -> dict[str, Tensor]:
    """Weighted parts of the loss; training minimises their total."""
    chosen = assign(found, cells, truth.boxes, truth.ignore)
    # plain BCE, not focal: with focal weights the background scores stayed at 0.2-0.3, above many faces
    score = functional.binary_cross_entropy_with_logits(
        found.score, chosen.score, chosen.counts.to(found.score.dtype), reduction="sum"
    )
    norm = chosen.score.sum().clamp(min=1.0)
    image, anchor = torch.nonzero(chosen.face >= 0, as_tuple=True)
    face = chosen.face[image, anchor]
    weight = chosen.score[image, anchor]
    boxes = truth.boxes[image, face]
    box = (box_loss(found.boxes[image, anchor], boxes) * weight).sum()
    size = (boxes[:, 2:] - boxes[:, :2]).amax(1).clamp(min=8.0)
    points = truth.points[image, face]
    known = torch.isfinite(points)
    off = (found.points[image, anchor] - torch.where(known, points, 0.0)) / size[:, None, None]
    shape = functional.smooth_l1_loss(off * known, torch.zeros_like(off), reduction="none", beta=0.05).mean((1, 2))
    states = truth.states[image, face]
    mask = functional.cross_entropy(
        found.mask[image, anchor], states, ignore_index=-1, reduction="none", label_smoothing=SMOOTHING
    )
    return {
        "score": score / norm,
        "box": BOX_WEIGHT * box / norm,
        "points": POINT_WEIGHT * (shape * weight).sum() / norm,
        "mask": MASK_WEIGHT * (mask * weight).sum() / norm,
    }


def teacher_loss(pupil: Tensor, teacher: Tensor) -> Tensor:
    """Distance of the pupil (n, a, 15) from the teacher: scores everywhere, the rest where its score is high."""
    sure = teacher[..., 0]
    norm = sure.sum().clamp(min=1.0)
    score = functional.binary_cross_entropy_with_logits(pupil[..., 0], sure, reduction="sum") / norm
    off = functional.smooth_l1_loss(pupil[..., 1:], teacher[..., 1:], reduction="none", beta=0.2).mean(-1)
    shape = (off * torch.where(sure > TEACHER_SURE, sure, 0.0)).sum() / norm
    return TEACHER_WEIGHT * (score + 0.5 * shape)
