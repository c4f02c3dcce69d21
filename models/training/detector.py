"""The detector's batches and loss, for `train`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from models.training.assign import anchors, decode, flatten
from models.training.augment import Canvas, Painter
from models.training.loss import Truth, detector_loss, teacher_loss
from models.training.net import COLUMNS, FaceNet
from models.training.teacher import Teacher
from models.training.train import Batch, Losses, generator

#: canvas sides, px, and how often each; in the last part more pictures are whole and large, as in the agent
SIDES, SHARES = (192, 256, 320), (0.5, 0.4, 0.1)
LATE, LATE_SHARES = 0.85, (0.35, 0.35, 0.3)
WHOLE, LATE_WHOLE = 0.1, 0.4


def pack(canvases: list[Canvas]) -> Batch:
    """Canvases of one size -> image (n, s, s, 3) uint8 and zero-padded labels."""
    most = max([1, *(len(c.boxes) for c in canvases)])
    ignored = max([1, *(len(c.ignore) for c in canvases)])
    n = len(canvases)
    boxes, ignore = np.zeros((n, most, 4), np.float32), np.zeros((n, ignored, 4), np.float32)
    states = np.full((n, most), -1, np.int64)
    points = np.full((n, most, 5, 2), np.nan, np.float32)
    for i, c in enumerate(canvases):
        if c.boxes:
            k = len(c.boxes)
            boxes[i, :k], states[i, :k], points[i, :k] = np.stack(c.boxes), c.states, np.stack(c.points)
        if c.ignore:
            ignore[i, : len(c.ignore)] = np.stack(c.ignore)
    arrays = {
        "image": np.stack([c.image for c in canvases]),
        "boxes": boxes,
        "states": states,
        "points": points,
        "ignore": ignore,
    }
    return {name: torch.from_numpy(a) for name, a in arrays.items()}


class DetectorBatches:
    """Batches of painted canvases, with the teacher's answers if there is a teacher."""

    def __init__(self, painter: Painter, size: int, teacher: Teacher | None = None) -> None:
        self.painter, self.size, self.teacher = painter, size, teacher

    def __call__(self, seed: int, number: int, progress: float) -> Batch:
        rng = generator(seed, number)
        late = progress > LATE
        side = int(rng.choice(SIDES, p=LATE_SHARES if late else SHARES))
        batch = pack([self.painter.canvas(side, rng, LATE_WHOLE if late else WHOLE) for _ in range(self.size)])
        if self.teacher is not None:
            batch["teacher"] = torch.from_numpy(self.teacher(batch["image"].numpy()))
        return batch


def as_input(image: Tensor) -> Tensor:
    """Pictures (n, h, w, 3) uint8 -> (n, 3, h, w) float32, 0..255, still BGR."""
    return image.permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)


def loss_of(net: nn.Module, batch: Batch) -> Losses:
    """Parts of the detector's loss on one batch."""
    if not isinstance(net, FaceNet):
        raise TypeError("only a FaceNet has a detector's loss")
    image, teacher = batch["image"], batch.get("teacher")
    raw = flatten(net.answers(as_input(image), pupil=teacher is not None)).float()
    cells = anchors(image.shape[1], image.shape[2], image.device)
    truth = Truth(batch["boxes"], batch["states"], batch["points"], batch["ignore"])
    with torch.autocast(image.device.type, enabled=False):
        losses = detector_loss(decode(raw, cells), cells, truth)
        if teacher is not None:
            losses["teacher"] = teacher_loss(raw[..., COLUMNS:], teacher)
    return losses
