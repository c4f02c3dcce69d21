"""Faces are aligned by their landmarks and mapped to unit vectors; the same face gives the same vector."""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from insightface.utils import face_align

from models.detectors.face import make_detector
from models.errors import ModelDamaged, ModelMissing, ModelUnknown, PackRefused
from models.packs.extra import RECOGNITION
from models.packs.packs import PackStore
from models.picture import read_picture
from models.recognition.alignment import SIDE_PX, align_face, similarity
from models.recognition.arcface import ArcFaceEmbedder
from models.recognition.embedding import ARCFACE, EMBEDDINGS, Embedder, FaceEmbedder
from models.recognition.make_embedders import make_embedders
from models.session import OnnxSession
from tests.models.fakes import MakeNetwork, steady

#: positions of the five landmarks in an aligned crop
PLACES = np.array(((38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)), np.float32)


@given(st.floats(-3.1, 3.1), st.floats(0.1, 20), st.floats(-2000, 2000), st.floats(-2000, 2000))
@steady
def test_a_turned_scaled_and_moved_face_is_brought_back(turn: float, scale: float, x: float, y: float) -> None:
    turned = scale * np.array(((np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))))
    seen = PLACES @ turned.T + np.array((x, y))
    matrix = similarity(seen.astype(np.float32))
    back = seen @ matrix[:, :2].T + matrix[:, 2]
    assert back == pytest.approx(PLACES, abs=0.1)


def test_the_fit_is_the_least_squares_one() -> None:
    seen = PLACES + np.random.default_rng(1).normal(0, 4, PLACES.shape)
    matrix = similarity(seen.astype(np.float32))
    left = np.linalg.norm(seen @ matrix[:, :2].T + matrix[:, 2] - PLACES)
    for change in np.random.default_rng(2).normal(0, 0.01, (50, 4)):
        a, b, shift = matrix[0, 0] + change[0], matrix[1, 0] + change[1], matrix[:, 2] + change[2:]
        other = seen @ np.array(((a, b), (-b, a))) + shift
        assert np.linalg.norm(other - PLACES) >= left - 0.02


def test_landmarks_in_one_point_give_a_crop_all_the_same() -> None:
    points = np.full((5, 2), 7.0, np.float32)
    assert align_face(np.zeros((20, 20, 3), np.uint8), points).shape == (SIDE_PX, SIDE_PX, 3)


def test_vectors_have_length_one(make_network: MakeNetwork) -> None:
    network = make_network({"out": np.array([[3.0, 4.0]], np.float32)}, size=SIDE_PX)
    embedder = Embedder("sface", EMBEDDINGS["sface"], OnnxSession(network))
    assert embedder.embed(np.zeros((200, 200, 3), np.uint8), PLACES) == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize(("shape", "size"), [((1, 4, 2), SIDE_PX), ((1, 4), 80)])
def test_a_network_of_another_kind_is_refused(make_network: MakeNetwork, shape: tuple[int, ...], size: int) -> None:
    network = make_network({"out": np.zeros(shape, np.float32)}, size=size)
    with pytest.raises(ModelDamaged, match="sface"):
        Embedder("sface", EMBEDDINGS["sface"], OnnxSession(network))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnknown, match="mobilefacenet, sface, arcface-mbf"):
        make_embedders("arcface")
    with pytest.raises(ModelMissing, match="models pull mobilefacenet"):
        make_embedders("mobilefacenet", data_dir=tmp_path)


def test_every_embedding_that_may_not_be_used_commercially_needs_a_yes(tmp_path: Path) -> None:
    packs = {status.pack.name: status.pack for status in PackStore().list()}
    assert all(packs[name].commercial and packs[name].extra is None for name in EMBEDDINGS)
    for name in ARCFACE:
        assert packs[name].extra == RECOGNITION
        with pytest.raises(PackRefused, match="research"):
            make_embedders(name, data_dir=tmp_path)
        with pytest.raises(ModelMissing, match=f"models pull {name}"):
            make_embedders(name, data_dir=tmp_path, accept_non_commercial=True)


def test_arcface_through_insightface(make_network: MakeNetwork) -> None:
    path = make_network({"vector": np.array([[3.0, 4.0]], np.float32)}, size=SIDE_PX)
    embedder: FaceEmbedder = ArcFaceEmbedder("arcface-mbf", 0.5, path, OnnxSession(path))
    assert embedder.embed(np.zeros((200, 200, 3), np.uint8), PLACES).tolist() == pytest.approx([0.6, 0.8])
    other = make_network({"answer": np.zeros((1, 1), np.float32)}, name="other.onnx", size=64)
    with pytest.raises(ModelDamaged, match="arcface-mbf"):
        ArcFaceEmbedder("arcface-mbf", 0.5, other, OnnxSession(other))


def test_a_face_is_cut_out_as_insightface_cuts_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # scikit-image is about to drop what insightface calls
        theirs = face_align.estimate_norm(PLACES)
    assert similarity(PLACES) == pytest.approx(theirs, abs=1e-4)


def test_a_face_is_like_itself_and_unlike_others(shared_weights: Path, astronaut: Path) -> None:
    embedder = make_embedders("mobilefacenet", data_dir=shared_weights).whole
    detector = make_detector("sentinel")

    def vectors(picture: np.ndarray) -> list[np.ndarray]:
        return [
            embedder.embed(picture, face.landmarks) for face in detector.detect(picture) if face.landmarks is not None
        ]

    picture = read_picture(astronaut)
    [own] = vectors(picture)
    darker = cv2.convertScaleAbs(cv2.resize(picture, None, fx=0.8, fy=0.8), alpha=0.6)
    [again] = vectors(darker)
    assert float(own @ again) > embedder.threshold
    group = astronaut.parents[2] / "insightface" / "data" / "images" / "t1.jpg"
    others = vectors(read_picture(group))
    assert len(others) >= 5
    everybody = np.array([own, *others])
    alike = everybody @ everybody.T - np.eye(len(everybody))
    assert alike.max() < embedder.threshold
