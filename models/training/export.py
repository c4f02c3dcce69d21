"""Write trained networks as ONNX with decoding, sigmoid and softmax inside the graph."""

from __future__ import annotations

import copy
import math
import warnings
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.training.assign import BOX_UNIT, POINT_UNIT
from models.training.net import BOX, MIDDLE, POINTS, SCALE, SCORE, STRIDES, FaceNet, MaskNet

Net = TypeVar("Net", bound=nn.Module)

OPSET = 17
#: rows of the folded maps: x of middle and landmarks, y of them, log half size, score, mask state
PARTS = (slice(0, 6), slice(6, 12), slice(12, 14), slice(14, 15), slice(15, 18))
#: rows of the exported detector's output, one column an anchor
COLUMNS_OUT = ("x0", "y0", "x1", "y1", "score", *(f"x of landmark {k}" for k in range(5)),
               *(f"y of landmark {k}" for k in range(5)), "correct", "incorrect", "none")  # fmt: skip


def fold_stem(stem: nn.Sequential) -> nn.Sequential:
    """The first convolution with batch norm and pixel scaling folded in: it reads pixels 0..255 as they are.

    Exact except along the top and left edge, where padding is now black as the letterbox's, not mid-grey.
    """
    first, norm, act = stem
    if not (isinstance(first, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
        raise TypeError("a stem is a convolution, a batch norm and an activation")
    fused = fuse_conv_bn_eval(first, norm)
    bias = torch.zeros(fused.out_channels) if fused.bias is None else fused.bias
    with torch.no_grad():
        fused.weight *= SCALE
        fused.bias = nn.Parameter(bias - MIDDLE * fused.weight.sum((1, 2, 3)))
    return nn.Sequential(fused, act)


def fold_head(head: nn.Conv2d, stride: int) -> nn.Conv2d:
    """The face head in pixels: 6 x columns (middle, landmarks), 6 y columns, log half width and height, score."""
    first, points = BOX.start, POINTS.start
    xs = [first, *range(points, POINTS.stop, 2)]
    ys = [first + 1, *range(points + 1, POINTS.stop, 2)]
    order = [*xs, *ys, first + 2, first + 3, SCORE.start]
    gain = torch.ones(len(order))
    gain[[0, 6]] = stride
    gain[[*range(1, 6), *range(7, 12)]] = stride * POINT_UNIT
    shift = torch.zeros(len(order))
    shift[:12] = stride / 2
    shift[12:14] = math.log(stride * BOX_UNIT / 2)
    out = nn.Conv2d(head.in_channels, len(order), 1)
    bias = torch.zeros(head.out_channels) if head.bias is None else head.bias
    out.weight = nn.Parameter((head.weight[order] * gain[:, None, None, None]).detach())
    out.bias = nn.Parameter((bias[order] * gain + shift).detach())
    return out


class DeployedFaces(nn.Module):
    """Pictures (N, 3, H, W) BGR 0..255 -> faces (N, 18, anchors), see `COLUMNS_OUT`.

    Scales and offsets are folded into convolutions; the rest of the decoding costs a few per cent.
    """

    offsets: Tensor
    x_columns: Tensor
    y_columns: Tensor

    def __init__(self, net: FaceNet, offsets: Tensor) -> None:
        super().__init__()
        self.net = net
        self.net.stem = fold_stem(net.stem)
        self.net.pupil = nn.ModuleList()
        self.face = nn.ModuleList(fold_head(h, s) for h, s in zip(net.face, STRIDES, strict=True))  # type: ignore[arg-type]
        self.register_buffer("offsets", offsets[:, None])
        columns = torch.arange(15)[:, None, None]
        self.register_buffer("x_columns", (columns < 6).float())
        self.register_buffer("y_columns", ((columns >= 6) & (columns < 12)).float())

    def forward(self, image: Tensor) -> Tensor:
        levels = []
        heads = zip(STRIDES, self.face, self.net.mask, self.net.features(image), strict=True)
        for stride, face, state, (y, m) in heads:
            row = face(y)
            # two broadcast additions move the x and the y columns to their cells
            gx = torch.arange(row.shape[3]).float() * (stride * self.x_columns)
            gy = torch.arange(row.shape[2]).float()[:, None] * (stride * self.y_columns)
            levels.append(torch.cat([row + gx + gy, state(m)], 1).flatten(2))
        out = torch.cat(levels, 2)
        xs, ys, size, score, mask = (out[:, part] for part in PARTS)
        centre = torch.cat([xs[:, :1], ys[:, :1]], 1)
        half = size.exp()
        mask = (mask + self.offsets).exp()
        mask = mask / mask.sum(1, keepdim=True)
        return torch.cat([centre - half, centre + half, score.sigmoid(), xs[:, 1:], ys[:, 1:], mask], 1)


class DeployedMasks(nn.Module):
    """Crops (N, 3, 80, 80) BGR 0..255 -> mask states (N, 3), summing to 1."""

    offsets: Tensor

    def __init__(self, net: MaskNet, offsets: Tensor) -> None:
        super().__init__()
        self.net = net
        self.net.body[0] = fold_stem(net.body[0])  # type: ignore[arg-type]
        self.register_buffer("offsets", offsets)

    def forward(self, crops: Tensor) -> Tensor:
        return (self.net.logits(crops) + self.offsets).softmax(-1)


def load_ema(net: Net, checkpoint: Path) -> Net:
    """The averaged weights of a checkpoint, ready to run."""
    content: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    net.load_state_dict(content["ema"])
    return net.eval()


def export_faces(net: FaceNet, out: Path, offsets: list[float]) -> None:
    """Write the detector; input `image` with dynamic N, H, W (multiples of 32), output `faces`."""
    # the exporter modifies its modules: it folds the batch norms into them
    model = DeployedFaces(copy.deepcopy(net).eval(), torch.tensor(offsets))
    axes = {"image": {0: "n", 2: "h", 3: "w"}, "faces": {0: "n", 2: "anchors"}}
    _write(model, torch.zeros(1, 3, 256, 320), out, "image", "faces", axes)


def export_masks(net: MaskNet, out: Path, offsets: list[float]) -> None:
    """Write the classifier; input `crops` with dynamic N, output `states`."""
    model = DeployedMasks(copy.deepcopy(net).eval(), torch.tensor(offsets))
    _write(model, torch.zeros(1, 3, 80, 80), out, "crops", "states", {"crops": {0: "n"}, "states": {0: "n"}})


def _write(
    model: nn.Module, sample: Tensor, out: Path, name: str, answer: str, axes: dict[str, dict[int, str]]
) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad(), warnings.catch_warnings():
        # the tracing exporter is deprecated, but writes a smaller graph: Range and Add for the grid
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (sample,),
            str(out),
            dynamo=False,
            opset_version=OPSET,
            input_names=[name],
            output_names=[answer],
            dynamic_axes=axes,
        )
