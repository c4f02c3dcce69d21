from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.detections import MaskState
from models.detectors.face import make_detector
from models.packs.manifest import PACKAGE_DIR
from models.packs.packs import PackState, PackStore
from tests.models.fakes import MakeNetwork

SIDE = 64
#: left, top, right, bottom; score; five x; five y; correct, incorrect, none
FACE = [8, 16, 24, 40, 0.9, *(10, 20, 15, 11, 19), *(22, 22, 28, 34, 34), 0.2, 0.7, 0.1]


def outputs(*faces: list[float]) -> dict[str, NDArray[np.float32]]:
    """Output of the network for a 64 x 64 picture with these faces, among its 84 anchors."""
    rows = np.zeros((1, 18, 84), np.float32)
    for anchor, face in enumerate(faces, 3):
        rows[0, :, anchor] = face
    return {"faces": rows}


def test_a_face_is_where_the_network_says(make_network: MakeNetwork) -> None:
    detector = make_detector("sentinel", weights=make_network(outputs(FACE), size=SIDE))
    (face,) = detector.detect(np.zeros((32, 32, 3), np.uint8))  # half the input: everything halves
    assert detector.name == "sentinel"
    assert face.box == pytest.approx((4, 8, 8, 12))
    assert face.score == pytest.approx(0.9)
    assert face.landmarks is not None
    assert face.landmarks.tolist() == [[5, 11], [10, 11], [7.5, 14], [5.5, 17], [9.5, 17]]
    assert face.mask is not None
    assert face.mask.best is MaskState.INCORRECT
    assert (face.mask.correct, face.mask.incorrect, face.mask.none) == pytest.approx((0.2, 0.7, 0.1))


def test_what_overlaps_votes_on_the_mask_by_its_squared_score(make_network: MakeNetwork) -> None:
    other = [*FACE[:4], 0.6, *FACE[5:15], 1.0, 0.0, 0.0]
    far = [40, 40, 60, 60, 0.5, *FACE[5:15], 0.0, 0.0, 1.0]
    detector = make_detector("sentinel", weights=make_network(outputs(other, far, FACE), size=SIDE))
    first, second = detector.detect(np.zeros((SIDE, SIDE, 3), np.uint8))
    assert (first.score, second.score) == pytest.approx((0.9, 0.5))
    assert first.mask is not None
    assert second.mask is not None
    assert first.mask.incorrect == pytest.approx(0.81 * 0.7 / (0.81 + 0.36))
    assert second.mask.none == pytest.approx(1)


def test_no_face(make_network: MakeNetwork) -> None:
    detector = make_detector("sentinel", weights=make_network(outputs(), size=SIDE))
    assert detector.detect(np.zeros((480, 640, 3), np.uint8)) == []


def test_the_built_in_models_are_the_pinned_ones() -> None:
    states = {status.pack.name: status.state for status in PackStore().verify()}
    assert states["sentinel"] is PackState.READY
    assert states["sentinel-mask"] is PackState.READY


def test_the_built_in_models_are_small() -> None:
    assert sum(path.stat().st_size for path in PACKAGE_DIR.glob("*.onnx")) <= 2_000_000
