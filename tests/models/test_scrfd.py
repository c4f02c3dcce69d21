from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.detectors.face import make_detector
from models.errors import ModelDamaged, PackRefused
from tests.models.fakes import MakeNetwork

SIDE = 64


def test_a_face_through_insightface(make_network: MakeNetwork) -> None:
    outputs: dict[str, np.ndarray] = {}
    for part, columns in (("score", 1), ("box", 4), ("points", 10)):
        for stride in (8, 16, 32):
            outputs[f"{part}_{stride}"] = np.zeros(((SIDE // stride) ** 2 * 2, columns), np.float32)
    anchor = 2 * (2 * 4 + 1)  # row 2, column 1 of stride 16, the first of two anchors: at (16, 32)
    outputs["score_16"][anchor] = 0.9
    outputs["box_16"][anchor] = (0.5, 1, 1.5, 1)
    detector = make_detector("scrfd", weights=make_network(outputs, size=SIDE), size=SIDE, accept_non_commercial=True)
    (face,) = detector.detect(np.zeros((128, 128, 3), np.uint8))
    assert face.box == pytest.approx((16, 32, 64, 64), abs=1e-3)
    assert face.score == pytest.approx(0.9)
    assert face.landmarks is not None
    assert face.landmarks.tolist() == [[32, 64]] * 5
    assert face.mask is None


def test_must_be_accepted_explicitly(tmp_path: Path) -> None:
    with pytest.raises(PackRefused, match="non-commercial"):
        make_detector("scrfd", weights=tmp_path / "det_500m.onnx")


def test_another_network_is_refused(make_network: MakeNetwork) -> None:
    weights = make_network({"answer": np.zeros((1, 1), np.float32)})
    with pytest.raises(ModelDamaged, match="scrfd"):
        make_detector("scrfd", weights=weights, accept_non_commercial=True)
