"""The mask classifier's batches and loss, for `train`."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from models.training.crops import Cutter
from models.training.detector import as_input
from models.training.loss import SMOOTHING
from models.training.train import Batch, Losses, generator


class CropBatches:
    """Batches of random face crops."""

    def __init__(self, cutter: Cutter, size: int) -> None:
        self.cutter, self.size = cutter, size

    def __call__(self, seed: int, number: int, progress: float) -> Batch:  # noqa: ARG002 - the same mix throughout
        rng = generator(seed, number)
        crops, states = zip(*(self.cutter.crop(rng) for _ in range(self.size)), strict=True)
        return {"image": torch.from_numpy(np.stack(crops)), "states": torch.tensor(states)}


def loss_of(net: nn.Module, batch: Batch) -> Losses:
    """Cross entropy of the states on one batch."""
    logits = net(as_input(batch["image"])).float()
    return {"mask": functional.cross_entropy(logits, batch["states"], label_smoothing=SMOOTHING)}
