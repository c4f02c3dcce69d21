"""The torch parts: decoding, assignment, export parity, resuming. Skipped where torch is not installed."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from models.training import export  # noqa: E402
from models.training.assign import Decoded, anchors, assign, decode, flatten, overlap  # noqa: E402
from models.training.classifier import loss_of as classifier_loss  # noqa: E402
from models.training.detector import as_input, loss_of, pack  # noqa: E402
from models.training.net import FaceNet, MaskNet  # noqa: E402
from models.training.runner import Sentinel, session  # noqa: E402
from models.training.train import Batch, Settings, generator, train  # noqa: E402


@pytest.fixture
def net() -> FaceNet:
    """Random weights with statistics unlike a fresh net's, so that folding mistakes show."""
    torch.manual_seed(0)
    net = FaceNet().eval()
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 2)
    for head in net.face:
        torch.nn.init.normal_(head.weight, std=0.05)
    return net


def picture(height: int, width: int) -> torch.Tensor:
    """Noise whose top row and left column are mid-grey, where folded padding equals the trained one."""
    x = torch.rand(1, 3, height, width) * 255
    x[:, :, 0] = x[:, :, :, 0] = 127.5
    return x


def test_export_answers_as_the_net_at_any_size(net: FaceNet, tmp_path: Path) -> None:
    path = tmp_path / "face.onnx"
    export.export_faces(net, path, [0.0, -0.5, 0.25])
    assert path.stat().st_size < 2_000_000
    run = session(path)
    deployed = export.DeployedFaces(copy.deepcopy(net), torch.tensor([0.0, -0.5, 0.25])).eval()
    for height, width in ((64, 96), (128, 64)):
        x = picture(height, width)
        (out,) = run.run(None, {"image": x.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(out, deployed(x).numpy(), rtol=1e-3, atol=2e-3)
            plain = decode(flatten(net(x)), anchors(height, width))
        # inner cells of the finest map, away from the padding that folding changes
        cells = anchors(height, width)
        inner = ((cells.centres > 24) & (cells.strides[:, None] == 8)).all(1)
        got = torch.from_numpy(out)[..., inner]
        torch.testing.assert_close(got[:, :4].mT, plain.boxes[:, inner], rtol=0.02, atol=0.5)
        torch.testing.assert_close(got[:, 4], plain.score.sigmoid()[:, inner], rtol=0.02, atol=0.01)
        points = got[:, 5:15].reshape(1, 2, 5, -1).permute(0, 3, 2, 1)
        torch.testing.assert_close(points, plain.points[:, inner], rtol=0.02, atol=0.5)
        shifted = (plain.mask + torch.tensor([0.0, -0.5, 0.25])).softmax(-1)
        torch.testing.assert_close(got[:, 15:].mT, shifted[:, inner], rtol=0.02, atol=0.01)


def test_export_leaves_the_net_as_it_was(net: FaceNet, tmp_path: Path) -> None:
    before = copy.deepcopy(net.state_dict())
    export.export_faces(net, tmp_path / "face.onnx", [0.0, 0.0, 0.0])
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True))


def test_mask_export_takes_any_number_of_crops(tmp_path: Path) -> None:
    net = MaskNet().eval()
    export.export_masks(net, tmp_path / "mask.onnx", [0.0, 0.0, 0.0])
    crops = (torch.rand(3, 3, 80, 80) * 255).numpy()
    (out,) = session(tmp_path / "mask.onnx").run(None, {"crops": crops})
    assert out.shape == (3, 3)
    np.testing.assert_allclose(out.sum(1), 1, atol=1e-5)


def test_runner_maps_boxes_back_to_the_picture(net: FaceNet, tmp_path: Path) -> None:
    export.export_faces(net, tmp_path / "face.onnx", [0.0, 0.0, 0.0])
    found = Sentinel(tmp_path / "face.onnx", 128).find(np.full((100, 150, 3), 90, np.uint8))
    assert found.boxes.shape == (len(found.scores), 4)
    assert found.mask is not None
    assert found.mask.shape == (len(found.scores), 3)


def test_each_face_gets_anchors_and_ignored_ground_does_not_count() -> None:
    cells = anchors(128, 128)
    n = len(cells.strides)
    half = cells.strides[:, None] * 1.5
    guesses = torch.cat([cells.centres - half, cells.centres + half], 1)[None]
    found = Decoded(torch.zeros(1, n), guesses, torch.zeros(1, n, 5, 2), torch.zeros(1, n, 3))
    faces = torch.tensor([[[10.0, 10, 34, 34], [60, 60, 110, 120], [0, 0, 0, 0]]])
    ignore = torch.tensor([[[0.0, 80, 40, 128]]])
    chosen = assign(found, cells, faces, ignore)
    assert set(chosen.face.unique().tolist()) == {-1, 0, 1}
    for k in (0, 1):
        mine = chosen.face[0] == k
        assert overlap(guesses[0, mine], faces[0, k]).max() > 0.3
        assert (chosen.score[0, mine] > 0).all()
    inside = ((cells.centres > ignore[0, 0, :2]) & (cells.centres < ignore[0, 0, 2:])).all(1)
    assert not chosen.counts[0, inside & (chosen.face[0] < 0)].any()
    assert chosen.counts[0, ~inside].all()


def test_a_batch_without_faces_has_a_finite_loss() -> None:
    from models.training.augment import Canvas

    losses = loss_of(FaceNet(), pack([Canvas(np.zeros((64, 64, 3), np.uint8)) for _ in range(2)]))
    assert all(bool(torch.isfinite(v)) for v in losses.values())
    assert as_input(torch.zeros(1, 8, 8, 3, dtype=torch.uint8)).shape == (1, 3, 8, 8)


def crops_of(seed: int, number: int, progress: float) -> Batch:
    """Grey crops whose brightness is their state."""
    rng = generator(seed, number)
    states = rng.integers(0, 3, 8)
    images = (states * 90 + 20)[:, None, None, None] + rng.integers(0, 20, (8, 32, 32, 3))
    return {"image": torch.from_numpy(images.astype(np.uint8)), "states": torch.from_numpy(states)}


def trained(folder: Path, steps: int, resume: Path | None = None) -> dict[str, torch.Tensor]:
    settings = Settings(steps=steps, batch=8, warm_up=1, workers=0, threads=1, rate=1e-3)
    out = folder / "net.pt"
    torch.manual_seed(5)
    return train(MaskNet(), crops_of, classifier_loss, out, settings, resume).net.state_dict()


def test_a_resumed_run_ends_where_it_should(tmp_path: Path) -> None:
    trained(tmp_path, 2)
    content = torch.load(tmp_path / "net.pt", weights_only=True)
    assert content["step"] == 2
    trained(tmp_path, 4, tmp_path / "net.pt")
    content = torch.load(tmp_path / "net.pt", weights_only=True)
    assert content["step"] == 4
    assert {"net", "ema", "optimiser", "rng", "settings"} <= set(content)
    assert not all(torch.equal(a, b) for a, b in zip(content["net"].values(), content["ema"].values(), strict=True))


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    one, two = trained(tmp_path, 2), trained(tmp_path, 2)
    assert all(torch.equal(a, b) for a, b in zip(one.values(), two.values(), strict=True))
