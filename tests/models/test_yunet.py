from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.detectors.candidates import STRIDES_PX
from models.detectors.face import make_detector
from models.errors import ModelDamaged, ModelMissing, ModelUnknown
from tests.drawn import bare_face
from tests.models.fakes import MakeNetwork

SIDE = 64


@pytest.fixture
def empty() -> dict[str, NDArray[np.float32]]:
    """Output of YuNet for a 64 x 64 picture without faces."""
    parts = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    return {
        f"{part}_{stride}": np.zeros((1, (SIDE // stride) ** 2, columns), np.float32)
        for part, columns in parts.items()
        for stride in STRIDES_PX
    }


def test_a_face_in_one_cell_is_where_it_was_put(
    empty: dict[str, NDArray[np.float32]], make_network: MakeNetwork
) -> None:
    cell = 2 * 4 + 1  # row 2, column 1 of the 4 x 4 cells of stride 16
    empty["cls_16"][0, cell] = 0.81
    empty["obj_16"][0, cell] = 1.0
    empty["bbox_16"][0, cell] = (0.5, -0.5, np.log(2), 0)  # middle (24, 24), 32 x 16
    empty["kps_16"][0, cell] = np.tile((0.25, 0.5), 5)
    detector = make_detector("yunet", weights=make_network(empty, size=SIDE))
    (face,) = detector.detect(np.zeros((128, 128, 3), np.uint8))  # twice the input: everything doubles
    assert face.box == pytest.approx((16, 32, 64, 32), abs=1e-3)
    assert face.score == pytest.approx(0.9)
    assert face.landmarks is not None
    assert face.landmarks.tolist() == [[pytest.approx(40), pytest.approx(80)]] * 5
    assert face.mask is None


def test_faces_below_the_score_are_left_out(empty: dict[str, NDArray[np.float32]], make_network: MakeNetwork) -> None:
    empty["cls_8"][0, 9] = empty["obj_8"][0, 9] = 0.5
    weights = make_network(empty, size=SIDE)
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    assert make_detector("yunet", weights=weights).detect(picture) == []
    assert len(make_detector("yunet", weights=weights, score=0.4).detect(picture)) == 1


@pytest.mark.parametrize("file", ["yunet_n_dynamic.onnx"])
def test_agrees_with_opencv_to_a_pixel(shared_weights: Path, file: str) -> None:
    picture = bare_face()
    height, width = picture.shape[:2]
    (ours,) = make_detector("yunet", weights=shared_weights / file, size=width).detect(picture)
    rows = cv2.FaceDetectorYN.create(str(shared_weights / file), "", (width, height), 0.6, 0.3).detect(picture)[1]
    assert len(rows) == 1
    assert ours.box == pytest.approx(rows[0][:4], abs=1)
    assert ours.landmarks is not None
    assert ours.landmarks.ravel() == pytest.approx(rows[0][4:14], abs=1)


@pytest.mark.parametrize("file", ["yunet_n_dynamic.onnx", "face_detection_yunet_2023mar.onnx"])
def test_open_and_fixed_inputs_find_the_face_at_any_size(shared_weights: Path, file: str) -> None:
    detector = make_detector("yunet", weights=shared_weights / file)
    small = cv2.resize(bare_face(), (267, 200))
    (face,) = detector.detect(np.asarray(small, np.uint8))
    left, top, width, height = face.box
    assert left < 133 < left + width
    assert top < 90 < top + height


def test_another_network_is_refused(make_network: MakeNetwork) -> None:
    with pytest.raises(ModelDamaged, match="bbox_16"):
        make_detector("yunet", weights=make_network({"answer": np.zeros((1, 1), np.float32)}))


def test_names_and_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelUnknown, match="yolo"):
        make_detector("yolo")
    with pytest.raises(ModelMissing, match="edge-agent models pull yunet-n"):
        make_detector("yunet", data_dir=tmp_path)
    with pytest.raises(ModelMissing):
        make_detector("yunet", weights=tmp_path / "nowhere.onnx")
