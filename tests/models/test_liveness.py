"""Liveness: the crop of each network, and the combination of both results."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.detectors.face import make_detector
from models.errors import ModelDamaged, ModelMissing
from models.picture import read_picture
from models.recognition.liveness import SIDE_PX, Liveness, context_crop, make_liveness
from models.session import OnnxSession
from tests.models.fakes import MakeNetwork, steady

BOX = (40.0, 40.0, 20.0, 20.0)


def test_the_answer_is_the_mean_of_the_softmaxes_for_live(make_network: MakeNetwork) -> None:
    sure = make_network({"out": np.array([[0.0, 50.0, 0.0]], np.float32)}, "sure.onnx", size=SIDE_PX)
    torn = make_network({"out": np.array([[0.0, 0.0, 0.0]], np.float32)}, "torn.onnx", size=SIDE_PX)
    both = Liveness([(OnnxSession(sure), 2.7), (OnnxSession(torn), 4.0)])
    assert both.live_probability(np.zeros((100, 100, 3), np.uint8), BOX) == pytest.approx((1 + 1 / 3) / 2)


def test_a_network_of_another_kind_is_refused(make_network: MakeNetwork) -> None:
    network = make_network({"out": np.zeros((1, 2), np.float32)}, size=SIDE_PX)
    with pytest.raises(ModelDamaged, match="3 classes"):
        Liveness([(OnnxSession(network), 2.7)])


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="minifasnet-v2"):
        make_liveness(data_dir=tmp_path)


def test_the_crop_is_centred_where_there_is_room() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    image[145:155, 145:155] = 255
    white = np.argwhere(context_crop(image, (130.0, 130.0, 40.0, 40.0), 2.7)[..., 0] > 100).mean(axis=0)
    assert white == pytest.approx([SIDE_PX / 2] * 2, abs=1.5)


def test_at_the_edge_it_moves_into_the_picture() -> None:
    image = np.full((100, 100, 3), 255, np.uint8)
    assert context_crop(image, (0.0, 0.0, 20.0, 20.0), 4.0).min() == 255


@given(st.floats(-300, 600), st.floats(-300, 600), st.floats(0, 900), st.floats(0, 900), st.sampled_from((2.7, 4.0)))
@steady
def test_any_box_gives_a_crop(x: float, y: float, width: float, height: float, reach: float) -> None:
    assert context_crop(np.zeros((120, 160, 3), np.uint8), (x, y, width, height), reach).shape == (SIDE_PX, SIDE_PX, 3)


def test_the_real_networks_tell_a_photo_on_a_phone_from_a_face(shared_weights: Path, astronaut: Path) -> None:
    liveness, detector = make_liveness(data_dir=shared_weights), make_detector("sentinel")
    picture = read_picture(astronaut)
    phone = np.full((480, 640, 3), 130, np.uint8)
    cv2.rectangle(phone, (190, 60), (450, 420), (15, 15, 15), -1)
    lines = 1 + 0.06 * np.sin(np.arange(240) * 1.7)[:, None, None]
    phone[120:360, 200:440] = np.clip(cv2.resize(picture[20:260, 100:340], (240, 240)) * lines, 0, 255)
    live_probability, shown = (
        liveness.live_probability(image, detector.detect(image)[0].box) for image in (picture, phone)
    )
    assert live_probability > 0.7 > 0.5 > shown
