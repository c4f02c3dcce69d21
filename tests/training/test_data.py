"""Reading, grouping and splitting."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.training.augment import jpeg
from models.training.data import ANNOTATED, Album, fingerprint, group, held_out, parse, prepare
from tests.training.drawn import scene


def test_twins_share_a_group() -> None:
    image = scene(3)
    small = np.asarray(cv2.resize(image, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA), np.uint8)
    copies = [image, small, jpeg(image, 40), np.ascontiguousarray(image[:, ::-1]), scene(4), scene(5)]
    groups = group(np.stack([fingerprint(c) for c in copies])).tolist()
    assert len(set(groups[:4])) == 1
    assert len({groups[0], groups[4], groups[5]}) == 3


@settings(max_examples=30)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.integers(0, 1000))
def test_no_group_is_on_both_sides(groups: list[int], salt: int) -> None:
    folders = ("street", "crowd", "portrait", "news")
    names = [f"{folders[(i + salt) % 4]}/{salt}-{i}.jpg" for i in range(len(groups))]
    out = held_out(names, np.array(groups))
    for g in set(groups):
        members = {bool(o) for o, k in zip(out, groups, strict=True) if k == g}
        assert len(members) == 1
        if not any(n.split("/")[0] in ANNOTATED for n, k in zip(names, groups, strict=True) if k == g):
            assert members == {False}


def test_album_splits_by_group(album: Album, pictures: Path) -> None:
    assert len(album) == 50
    training, testing = set(album.training()), set(album.testing())
    assert testing
    assert not training & testing
    # scene k and its twin k + 40 are one group
    for k in range(10):
        assert album.held_out[k] == album.held_out[k + 40]
    image = cv2.imread(str(pictures / album.samples[7].image))
    assert np.array_equal(album.pixels(7), image)
    assert album.pixels(7, half=1).shape == (56, 64, 3)


def test_teacher_boxes_are_moved_to_where_people_draw() -> None:
    face = {
        "box": [0.0, 0.0, 100.0, 100.0],
        "mask": "correct",
        "landmarks": [[1.0, 2.0]] * 5,
        "teacher_score": 0.9,
    }
    row = {"image": "portrait/a.jpg", "width": 200, "height": 200, "faces": [face], "unlabelled_faces": []}
    assert parse(row).boxes[0].tolist() == pytest.approx([0, 12, 100, 94])
    assert parse({**row, "image": "street/a.jpg"}).boxes[0].tolist() == [0, 0, 100, 100]


def test_unsure_teacher_faces_are_ignored() -> None:
    faces = [{"box": [0.0, 0.0, 9.0, 9.0], "landmarks": None, "teacher_score": s} for s in (0.3, 0.9)]
    row = {
        "image": "news/a.jpg",
        "width": 9,
        "height": 9,
        "faces": [],
        "teacher_faces": faces,
        "unlabelled_faces": [],
    }
    sample = parse(row)
    assert len(sample.boxes) == len(sample.ignore) == 1
    assert sample.states.tolist() == [2]
    assert np.isnan(sample.landmarks).all()


def test_a_listed_size_must_be_the_real_one(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), scene(1))
    row = {"image": "a.png", "width": 5, "height": 5, "faces": [], "unlabelled_faces": []}
    (tmp_path / "faces.jsonl").write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(ValueError, match="not as listed"):
        prepare(tmp_path, tmp_path / "album")


def test_unlabelled_faces_are_learnt_only_where_the_teacher_is_sure_and_never_judged() -> None:
    found = [
        {"box": [k * 50.0, 0.0, 40.0, 40.0], "landmarks": None, "teacher_score": s} for k, s in enumerate((0.5, 0.9))
    ]
    row = {"image": "street/a.jpg", "width": 200, "height": 200, "faces": [], "unlabelled_faces": found}
    judged = parse(row)
    assert len(judged.boxes) == 0
    assert len(judged.ignore) == 2
    learnt = parse(row, learning=True)
    assert learnt.states.tolist() == [-1]
    assert learnt.ignore.tolist() == [[0, 0, 40, 40]]
