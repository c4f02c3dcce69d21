"""The two networks: face detector and mask-state classifier of a face crop. No pretrained weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.training.data import STATES

STRIDES = (8, 16, 32)
#: columns of the detector's raw output: score logit; box dx dy and log w h; five landmarks dx dy; mask logits
SCORE, BOX, POINTS, MASK = slice(0, 1), slice(1, 5), slice(5, 15), slice(15, 18)
COLUMNS = 18
#: pixels 0..255 become (pixel - MIDDLE) * SCALE
MIDDLE, SCALE = 127.5, 1 / 64


def conv(inp: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: bool = True) -> nn.Sequential:
    """Convolution, batch norm and, if `act`, ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inp, out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out),
    ]
    if act:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Separable(nn.Module):
    """Depthwise then pointwise convolution; with a residual connection where the shapes allow."""

    def __init__(self, inp: int, out: int, stride: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.depth = conv(inp, inp, kernel, stride, groups=inp)
        self.point = conv(inp, out, act=False)
        self.act = nn.ReLU(inplace=True)
        self.residual = inp == out and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.point(self.depth(x))
        out: Tensor = self.act(x + y if self.residual else y)
        return out


@dataclass(frozen=True)
class Width:
    """Channels of the detector: stem, the stages at strides 4, 8, 16, 32, and the pyramid."""

    stem: int = 16
    stages: tuple[int, int, int, int] = (24, 48, 80, 128)
    blocks: tuple[int, int, int, int] = (0, 2, 3, 2)
    neck: int = 48


def stage(inp: int, out: int, blocks: int) -> nn.Sequential:
    """Halve the resolution, then `blocks` residual blocks."""
    return nn.Sequential(conv(inp, out, 3, 2), *(Separable(out, out) for _ in range(blocks)))


class FaceNet(nn.Module):
    """Pictures (N, 3, H, W), BGR 0..255, H and W multiples of 32 -> one raw map (N, 18, h, w) per stride."""

    def __init__(self, width: Width | None = None) -> None:
        super().__init__()
        w = width or Width()
        self.stem = conv(3, w.stem, 3, 2)
        channels = (w.stem, *w.stages)
        self.stages = nn.ModuleList(stage(channels[i], channels[i + 1], w.blocks[i]) for i in range(len(w.stages)))
        self.lateral = nn.ModuleList(conv(c, w.neck) for c in w.stages[1:])
        self.merge = nn.ModuleList(Separable(w.neck, w.neck) for _ in STRIDES[1:])
        self.tower = nn.ModuleList(Separable(w.neck, w.neck) for _ in STRIDES)
        self.mask_tower = nn.ModuleList(Separable(w.neck, w.neck) for _ in STRIDES)
        self.face = nn.ModuleList(nn.Conv2d(w.neck, MASK.start, 1) for _ in STRIDES)
        self.mask = nn.ModuleList(nn.Conv2d(w.neck, len(STATES), 1) for _ in STRIDES)
        # learns the dense outputs of the teacher, in its encoding; dropped at export
        self.pupil = nn.ModuleList(nn.Conv2d(w.neck, MASK.start, 1) for _ in STRIDES)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        for name, value in self.face.named_parameters():
            if name.endswith("weight"):
                nn.init.normal_(value, std=0.01)
            else:
                nn.init.zeros_(value)
                # a prior of 1 % faces avoids spending the first steps on background
                nn.init.constant_(value[SCORE], -4.6)

    def features(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Scaled pictures -> per stride the inputs of the face head and the mask head."""
        x = self.stages[0](self.stem(x))
        levels: list[Tensor] = []
        for block, side in zip(self.stages[1:], self.lateral, strict=True):
            x = block(x)
            levels.append(side(x))
        for i in (1, 0):
            levels[i] = levels[i] + self.up(self.merge[i](levels[i + 1]))
        faces = [tower(level) for tower, level in zip(self.tower, levels, strict=True)]
        return [(y, tower(y)) for tower, y in zip(self.mask_tower, faces, strict=True)]

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.answers(x, pupil=False)

    def answers(self, x: Tensor, pupil: bool) -> list[Tensor]:
        """Raw maps (N, 18, h, w); with `pupil`, followed by its prediction of the teacher's 15 columns."""
        out = []
        for i, (y, m) in enumerate(self.features((x - MIDDLE) * SCALE)):
            columns = [self.face[i](y), self.mask[i](m)]
            out.append(torch.cat([*columns, self.pupil[i](y)] if pupil else columns, 1))
        return out


class MaskNet(nn.Module):
    """Face crops (N, 3, 80, 80), BGR 0..255 -> logits of the mask states (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(3, 16, 3, 2), stage(16, 32, 2), stage(32, 64, 3), stage(64, 128, 2), nn.AdaptiveAvgPool2d(1)
        )
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(128, len(STATES))

    def logits(self, x: Tensor) -> Tensor:
        """Scaled crops -> logits (N, 3)."""
        out: Tensor = self.head(self.drop(self.body(x).flatten(1)))
        return out

    def forward(self, x: Tensor) -> Tensor:
        return self.logits((x - MIDDLE) * SCALE)
