"""The second look: every face cropped as in training, both probabilities multiplied."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.detections import Face, MaskScores
from models.detectors.face_crop import REACH, SIDE_PX, face_crop
from models.detectors.second_look import SecondLook
from models.errors import ModelDamaged
from models.session import OnnxSession
from tests.models.fakes import MakeNetwork


class Finds:
    """A detector that returns the given faces."""

    name = "fake"

    def __init__(self, *faces: Face) -> None:
        self._faces = list(faces)

    def detect(self, _image: np.ndarray) -> list[Face]:
        return self._faces


def face(mask: MaskScores | None, x: float = 20.0) -> Face:
    return Face((x, 20.0, 30.0, 40.0), 0.9, None, mask)


def look(make_network: MakeNetwork, answer: list[list[float]], *faces: Face) -> list[Face]:
    network = make_network({"states": np.array(answer, np.float32)}, size=SIDE_PX)
    return SecondLook(Finds(*faces), OnnxSession(network)).detect(np.zeros((100, 100, 3), np.uint8))


def test_both_answers_are_multiplied(make_network: MakeNetwork) -> None:
    [judged] = look(make_network, [[0.64, 0.32, 0.04]], face(MaskScores(0.25, 0.5, 0.25)))
    roots = np.sqrt([0.64 * 0.25, 0.32 * 0.5, 0.04 * 0.25])
    assert judged.mask is not None
    assert [judged.mask.correct, judged.mask.incorrect, judged.mask.none] == pytest.approx(
        roots / roots.sum(), abs=1e-5
    )
    assert judged.box == (20.0, 20.0, 30.0, 40.0)


def test_a_detector_without_masks_takes_the_second_answer(make_network: MakeNetwork) -> None:
    [judged] = look(make_network, [[0.1, 0.2, 0.7]], face(None))
    assert judged.mask is not None
    assert judged.mask.none == pytest.approx(0.7)


def test_a_sure_answer_stands(make_network: MakeNetwork) -> None:
    sure, unsure = MaskScores(0.95, 0.03, 0.02), MaskScores(0.5, 0.3, 0.2)
    first, second = look(make_network, [[0.0, 0.0, 1.0]], face(sure), face(unsure))
    assert first.mask == sure
    assert second.mask is not None
    assert second.mask.none > 0.9


def test_without_faces_the_second_network_does_not_run(make_network: MakeNetwork) -> None:
    assert look(make_network, [[1.0, 0.0, 0.0]]) == []


def test_a_network_of_another_kind_is_refused(make_network: MakeNetwork) -> None:
    network = make_network({"faces": np.zeros((1, 3), np.float32)}, size=SIDE_PX)
    with pytest.raises(ModelDamaged, match="states"):
        SecondLook(Finds(), OnnxSession(network))


def test_the_crop_is_centred_on_the_face() -> None:
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[190:210, 190:210] = 255
    crop = face_crop(picture, (150.0, 150.0, 100.0, 100.0))
    white = np.argwhere(crop[..., 0] > 127).mean(axis=0)
    assert white == pytest.approx([SIDE_PX / 2 - 0.5] * 2, abs=1)


def test_beyond_the_picture_it_is_black() -> None:
    crop = face_crop(np.full((50, 50, 3), 255, np.uint8), (0.0, 0.0, 40.0, 40.0))
    assert crop[0, 0].tolist() == [0, 0, 0]
    assert crop[-1, -1].tolist() == [255, 255, 255]
    assert round(REACH * 40) == 56


@given(st.floats(-300, 600), st.floats(-300, 600), st.floats(0, 500), st.floats(0, 500))
def test_any_box_gives_a_crop(x: float, y: float, width: float, height: float) -> None:
    assert face_crop(np.zeros((120, 160, 3), np.uint8), (x, y, width, height)).shape == (SIDE_PX, SIDE_PX, 3)
