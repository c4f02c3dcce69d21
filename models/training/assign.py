"""Decode raw maps to pixels and assign anchors to faces."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.training.net import BOX, MASK, POINTS, SCORE, STRIDES

#: a raw size of 0 is a box of this many strides; a landmark moves by this many strides a unit
BOX_UNIT, POINT_UNIT = 3.0, 2.0
#: maximum number of anchors per face, and the exponents of score and overlap in the assignment
MOST_ANCHORS, SCORE_POWER, OVERLAP_POWER = 9, 0.5, 4.0
#: face sizes (px, longer side) per stride; they overlap, and the better anchor is assigned
SIZES = ((0.0, 88.0), (28.0, 200.0), (80.0, 1e9))


@dataclass(frozen=True)
class Anchors:
    """Cell centres (a, 2) px, strides (a,), smallest and largest face (a,) px."""

    centres: Tensor
    strides: Tensor
    smallest: Tensor
    largest: Tensor


def anchors(height: int, width: int, device: torch.device | None = None) -> Anchors:
    """All cells of the three maps of a picture of `height` x `width` px, finest first, row by row."""
    centres, strides, low, high = [], [], [], []
    for stride, (small, large) in zip(STRIDES, SIZES, strict=True):
        y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        centres.append((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        n = centres[-1].shape[0]
        strides.append(torch.full((n,), float(stride)))
        low.append(torch.full((n,), small))
        high.append(torch.full((n,), large))
    parts = [torch.cat(p).to(device) for p in (centres, strides, low, high)]
    return Anchors(*parts)


def flatten(maps: list[Tensor]) -> Tensor:
    """Raw maps (n, 18, h, w) -> (n, anchors, 18) in the order of `anchors`."""
    return torch.cat([m.flatten(2).transpose(1, 2) for m in maps], 1)


@dataclass(frozen=True)
class Decoded:
    """Per anchor: score logit (n, a), box x0 y0 x1 y1 (n, a, 4) px, points (n, a, 5, 2) px, mask logits (n, a, 3)."""

    score: Tensor
    boxes: Tensor
    points: Tensor
    mask: Tensor


def decode(raw: Tensor, cells: Anchors) -> Decoded:
    """Raw columns (n, a, 18) -> pixels."""
    stride = cells.strides[:, None]
    box = raw[..., BOX]
    centre = cells.centres + box[..., :2] * stride
    # limits the exponent: an outlier early in training would make the whole batch invalid
    half = torch.exp(box[..., 2:].clamp(-6, 6)) * (stride * (BOX_UNIT / 2))
    points = cells.centres[:, None] + raw[..., POINTS].reshape(*raw.shape[:-1], 5, 2) * (stride[:, None] * POINT_UNIT)
    return Decoded(raw[..., SCORE].squeeze(-1), torch.cat([centre - half, centre + half], -1), points, raw[..., MASK])


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes x0 y0 x1 y1, broadcast over the leading axes."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    area_a, area_b = (a[..., 2:] - a[..., :2]).prod(-1), (b[..., 2:] - b[..., :2]).prod(-1)
    return both / (area_a + area_b - both).clamp(min=1e-6)


@dataclass(frozen=True)
class Assignment:
    """Per anchor: its face (n, a) or -1, its target score (n, a), whether it contributes to the loss (n, a)."""

    face: Tensor
    score: Tensor
    counts: Tensor


def assign(found: Decoded, cells: Anchors, faces: Tensor, ignore: Tensor) -> Assignment:
    """Task-aligned assignment: each face gets the few anchors that predict it best.

    `faces` (n, g, 4) and `ignore` (n, m, 4) are x0 y0 x1 y1 px, padded with zeros.
    """
    valid = (faces[..., 2:] > faces[..., :2]).all(-1)
    size = (faces[..., 2:] - faces[..., :2]).amax(-1)
    middle = (faces[..., :2] + faces[..., 2:]) / 2
    away = (cells.centres - middle[:, :, None]).abs()
    reach = torch.maximum(0.3 * (faces[..., 2:] - faces[..., :2])[:, :, None], cells.strides[:, None])
    near = (away < reach).all(-1)
    fits = (size[..., None] >= cells.smallest) & (size[..., None] <= cells.largest)
    may = near & fits & valid[..., None]
    iou = overlap(found.boxes.detach()[:, None], faces[:, :, None])
    chance = found.score.detach().sigmoid()[:, None]
    metric = (chance**SCORE_POWER * iou.clamp(min=0.01) ** OVERLAP_POWER) * may
    best, index = metric.topk(min(MOST_ANCHORS, metric.shape[-1]), -1)
    chosen = torch.zeros_like(may).scatter(-1, index, best > 0)
    # an anchor assigned to several faces goes to the one with the largest overlap
    claim = torch.where(chosen, iou + 1e-3, torch.zeros_like(iou))
    strength, face = claim.max(1)
    taken = strength > 0
    mine = torch.zeros_like(chosen).scatter(1, face[:, None], taken[:, None])
    metric, iou = metric * mine, iou * mine
    top, peak = metric.amax(-1, keepdim=True), iou.amax(-1, keepdim=True).clamp(min=0.2)
    target = (metric / top.clamp(min=1e-12) * peak).amax(1)
    inside = ((cells.centres > ignore[:, :, None, :2]) & (cells.centres < ignore[:, :, None, 2:])).all(-1).any(1)
    return Assignment(torch.where(taken, face, -1), target, taken | ~inside)
