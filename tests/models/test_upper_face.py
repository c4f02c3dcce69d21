"""Upper halves of faces: the lower half does not count, and a map that does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.detections import Face
from models.detectors.close_up import find_faces_closely
from models.detectors.face import make_detector
from models.errors import ModelDamaged
from models.picture import read_picture
from models.recognition.alignment import COVERED_FROM_ROW, SIDE_PX, align_upper_face, similarity
from models.recognition.embedding import EMBEDDINGS, Embedder
from models.recognition.make_embedders import make_embedders
from models.recognition.upper_face import UpperFaceEmbedder, read_affine
from models.session import OnnxSession
from tests.models.fakes import MakeNetwork
from tests.models.test_recognition import PLACES

IDENTITY = np.vstack((np.zeros(4), np.eye(4))).astype(np.float32)


def test_only_the_lower_half_is_covered() -> None:
    image = np.random.default_rng(1).integers(1, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
    covered = align_upper_face(image, PLACES)
    assert (covered[1:COVERED_FROM_ROW, 1:-1] > 0).all()
    assert len(np.unique(covered[:COVERED_FROM_ROW])) > 200
    assert len(np.unique(covered[COVERED_FROM_ROW:])) == 1


def test_wrong_guesses_of_the_mouth_move_the_eyes_less_than_before() -> None:
    guessed = PLACES + np.array(((0, 0), (0, 0), (0, 0), (0, 12), (0, 12)), np.float32)
    for weights, limit_px in (((1.0, 1.0, 0.5, 0.25, 0.25), 2.5), ((1.0, 1.0, 0.0, 0.0, 0.0), 0.1)):
        matrix = similarity(guessed, weights)
        eyes = guessed[:2] @ matrix[:, :2].T + matrix[:, 2]
        assert np.abs(eyes - PLACES[:2]).max() < limit_px
    matrix = similarity(guessed)
    assert np.abs(guessed[:2] @ matrix[:, :2].T + matrix[:, 2] - PLACES[:2]).max() > 3


@pytest.mark.parametrize("shape", [(3, 2), (4, 4), (5, 5), (5, 4, 1)])
def test_a_map_of_another_shape_is_refused(make_network: MakeNetwork, shape: tuple[int, ...]) -> None:
    network = make_network({"out": np.array([[3.0, 4.0]], np.float32)}, size=SIDE_PX)
    whole = Embedder("sface", EMBEDDINGS["sface"], OnnxSession(network))
    with pytest.raises(ModelDamaged, match="sface-upper"):
        UpperFaceEmbedder("sface-upper", 0.5, whole, np.zeros(shape, np.float32))


def test_the_mean_is_subtracted_and_the_matrix_applied(make_network: MakeNetwork) -> None:
    network = make_network({"out": np.array([[3.0, 4.0]], np.float32)}, size=SIDE_PX)
    whole = Embedder("sface", EMBEDDINGS["sface"], OnnxSession(network))
    image, points = np.zeros((200, 200, 3), np.uint8), np.array(((0, 0), (9, 0), (5, 5), (1, 9), (8, 9)), np.float32)
    expected = np.array((0.3, 0.4, 0.6, 0.8)) / np.hypot(0.5, 1)  # the whole face counts half
    assert UpperFaceEmbedder("u", 0.5, whole, IDENTITY).embed(image, points) == pytest.approx(expected)
    affine = np.zeros((5, 4), np.float32)
    affine[0], affine[1, 0], affine[4, 1] = (0, 0, 0, 0.3), 2.0, 1.0
    moved = UpperFaceEmbedder("u", 0.5, whole, affine).embed(image, points)
    assert moved == pytest.approx(np.array((0.6, 0.5, 0, 0)) / np.hypot(0.6, 0.5))


@pytest.mark.parametrize("content", [b"", b"not numbers", b"\x93NUMPY"])
def test_a_damaged_map_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "map.npy"
    path.write_bytes(content)
    with pytest.raises(ModelDamaged, match=r"map\.npy"):
        read_affine(path)


def test_what_covers_the_lower_half_counts_little(shared_weights: Path, astronaut: Path) -> None:
    picture, embedders = read_picture(astronaut), make_embedders("mobilefacenet", data_dir=shared_weights)
    assert embedders.upper is not None
    [face] = make_detector("sentinel").detect(picture)
    assert face.landmarks is not None
    bare = embedders.embed(picture, face.landmarks)
    assert bare.upper is not None
    for colour in ((240, 240, 240), (30, 30, 30), (40, 160, 90)):
        covered = picture.copy()
        covered[int(face.landmarks[2][1]) - 2 :] = colour
        seen = embedders.embed(covered, face.landmarks)
        assert seen.upper is not None
        assert float(seen.upper @ bare.upper) > max(float(seen.whole @ bare.whole), embedders.upper.threshold)


def test_thresholds_of_the_settings_replace_those_of_the_pack(shared_weights: Path) -> None:
    own = make_embedders("mobilefacenet", data_dir=shared_weights)
    assert own.upper is not None
    assert own.whole.threshold == EMBEDDINGS["mobilefacenet"].threshold
    given = make_embedders("mobilefacenet", data_dir=shared_weights, threshold=0.7, masked_threshold=0.8)
    assert given.upper is not None
    assert (given.whole.threshold, given.upper.threshold) == (0.7, 0.8)
    assert own.upper.threshold not in (own.whole.threshold, 0.8)


def test_close_ups_find_a_face_that_fills_the_picture(astronaut: Path) -> None:
    picture, detector = read_picture(astronaut), make_detector("sentinel")
    [known] = find_faces_closely(detector, picture)
    assert known.landmarks is not None
    eyes_px = float(np.hypot(*(known.landmarks[1] - known.landmarks[0])))
    x, y, width, height = (round(each) for each in known.box)
    for margin in (0.0, 0.1, 0.3):
        left, top = x - round(margin * width), max(0, y - round(margin * height))
        cut = picture[top : y + round((1 + margin) * height), left : x + round((1 + margin) * width)]
        [face] = find_faces_closely(detector, cut)
        assert face.landmarks is not None
        off_px = np.hypot(*(face.landmarks + np.array((left, top)) - known.landmarks).T)
        assert off_px.mean() < 0.1 * eyes_px


def test_close_ups_of_nothing_are_nothing() -> None:
    assert find_faces_closely(make_detector("sentinel"), np.full((60, 90, 3), 120, np.uint8)) == []


class NeedsMargin:
    """Finds the white square of a picture if it is surrounded by other pixels."""

    name = "needs-margin"

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        rows, columns = np.nonzero(image[..., 0] == 255)
        left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        if left == 0 or top == 0 or right == image.shape[1] or bottom == image.shape[0]:
            return []
        box = (float(left), float(top), float(right - left), float(bottom - top))
        return [Face(box, 0.9, np.full((5, 2), (left, top), np.float32), None)]


def test_a_face_found_only_with_a_margin_is_in_pixels_of_the_picture() -> None:
    [face] = find_faces_closely(NeedsMargin(), np.full((60, 40, 3), 255, np.uint8))
    assert face.box == (0, 0, 40, 60)
    assert face.landmarks is not None
    assert (face.landmarks == 0).all()
