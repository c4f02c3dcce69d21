"""Geometry of training pictures."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.augment import Canvas, Painter, Rect, annotate, similarity, spoil, turn_box
from models.training.crops import SIDE_PX, Cutter, cut
from models.training.data import Album, Sample, parse
from models.training.masks import Wardrobe
from tests.training.drawn import FACE, scene


def one_face(box: list[float]) -> Sample:
    face = {"box": box, "mask": "none", **FACE}
    return parse({"image": "street/a.jpg", "width": 128, "height": 112, "faces": [face], "unlabelled_faces": []})


def test_turn_box_keeps_an_unturned_box_and_swaps_sides_at_90_degrees() -> None:
    box = np.array([10, 20, 30, 40], np.float32)
    middle = np.array([25, 40])
    assert turn_box(box, similarity(middle, 1, 0, False, middle)).tolist() == pytest.approx([10, 20, 40, 60])
    quarter = turn_box(box, similarity(middle, 1, 90, False, middle))
    assert quarter.tolist() == pytest.approx([5, 25, 45, 55], abs=1e-3)


def test_mirrored_landmarks_keep_the_persons_right_first() -> None:
    canvas = Canvas(np.zeros((128, 128, 3), np.uint8))
    matrix = similarity(np.array([64, 0]), 1, 0, True, np.array([64, 0]))
    annotate(canvas, Rect(0, 0, 128, 128), one_face([28, 22, 44, 60]), matrix, True)
    points = canvas.points[0]
    # the eyes were at 40 and 60; mirrored about 64 they are at 88 and 68, and the left of the picture stays first
    assert points[:, 0].tolist() == pytest.approx([68, 88, 78, 70, 86])


def test_a_face_hardly_in_view_is_ignored() -> None:
    identity = similarity(np.zeros(2), 1, 0, False, np.zeros(2))
    canvas = Canvas(np.zeros((40, 40, 3), np.uint8))
    annotate(canvas, Rect(0, 0, 40, 40), one_face([30, 0, 40, 40]), identity, False)
    assert not canvas.boxes
    assert canvas.ignore[0].tolist() == [30, 0, 40, 40]


def test_canvas_is_repeatable_and_inside(album: Album, wardrobe: Wardrobe) -> None:
    painter = Painter(album, album.training(), wardrobe)
    for seed in range(8):
        one, two = (painter.canvas(96, np.random.default_rng(seed), whole=seed % 2) for _ in range(2))
        assert np.array_equal(one.image, two.image)
        assert one.image.shape == (96, 96, 3)
        assert len(one.boxes) == len(one.states) == len(one.points)
        for box in one.boxes:
            assert (box >= 0).all()
            assert (box <= 96).all()
            assert (box[2:] > box[:2]).all()


def test_spoil_keeps_shape_and_type() -> None:
    for seed in range(25):
        image = spoil(scene(2), np.random.default_rng(seed))
        assert image.shape == (112, 128, 3)
        assert image.dtype == np.uint8


def test_cut_centres_the_face_and_pads_black() -> None:
    image = np.full((100, 100, 3), 200, np.uint8)
    image[45:55, 45:55] = (0, 0, 255)
    crop = cut(image, np.array([40, 40, 20, 20], np.float32))
    assert crop.shape == (SIDE_PX, SIDE_PX, 3)
    assert crop[SIDE_PX // 2, SIDE_PX // 2].tolist() == [0, 0, 255]
    corner = cut(image, np.array([-10, -10, 20, 20], np.float32))
    assert not corner[: SIDE_PX // 2 - 2, : SIDE_PX // 2 - 2].any()
    assert corner[-1, -1].tolist() == [200, 200, 200]


def test_crops_are_repeatable_and_of_all_states(album: Album, wardrobe: Wardrobe) -> None:
    cutter = Cutter(album, album.training(), wardrobe)
    drawn = [cutter.crop(np.random.default_rng(s)) for s in range(30)]
    again = [cutter.crop(np.random.default_rng(s)) for s in range(30)]
    assert all(np.array_equal(a[0], b[0]) and a[1] == b[1] for a, b in zip(drawn, again, strict=True))
    assert {state for _, state in drawn} == {0, 1, 2}
