"""The report, with a detector that answers from a list."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.data import Pixels, Sample
from models.training.evaluate import (
    DEGRADATIONS,
    bands,
    corners,
    degraded,
    detection_figures,
    intervals,
    look,
    table,
    turned,
)
from models.training.metrics import confusion, mask_figures
from models.training.runner import Found, cluster, letterbox


def two_faces() -> Sample:
    """A large face worn correctly, a small one bare."""
    return Sample(
        "street/a.jpg",
        200,
        100,
        np.array([[10, 10, 60, 70], [120, 20, 20, 22]], np.float32),
        np.array([0, 2]),
        np.full((2, 5, 2), np.nan, np.float32),
        np.array([[150, 50, 40, 40]], np.float32),
    )


class Knows:
    """Finds both faces and something in the ignored region."""

    def find(self, image: Pixels) -> Found:
        boxes = np.array([[11, 10, 70, 80], [120, 20, 140, 42], [150, 50, 188, 90]], np.float32)
        mask = np.array([[0.2, 0.7, 0.1], [0, 0, 1], [1, 0, 0]], np.float32)
        return Found(boxes, np.array([0.9, 0.5, 0.8], np.float32), np.zeros((3, 5, 2), np.float32), mask)


SCENES = [(two_faces(), np.full((100, 200, 3), 120, np.uint8))] * 3


def test_small_and_unlabelled_faces_count_neither_way() -> None:
    run = look(Knows(), SCENES, 32)
    assert detection_figures(run) == {"ap50": 1.0, "recall_at_1_fp": 1.0}
    assert confusion(run.judged()).tolist() == [[0, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    both = look(Knows(), SCENES, 16)
    assert mask_figures(both.judged())["recall_none"] == 1.0


def test_a_face_under_the_threshold_is_not_found() -> None:
    run = look(Knows(), SCENES, 16, threshold=0.6)
    assert confusion(run.judged())[2].tolist() == [0, 0, 0, 3]
    assert mask_figures(run.judged())["properly_worn_missed_wrong"] == 0.0


def test_bands_and_intervals_cover_every_face() -> None:
    run = look(Knows(), SCENES, 16)
    parts = bands(run)
    assert parts["size_48_96"]["faces"] == parts["medium"]["faces"] // 2 == 3
    assert parts["dark"]["faces"] == 0
    low, high = intervals(run, with_mask=True, resamples=5)["ap50"]
    assert low == high == 1.0


def test_degradations_but_turning_keep_boxes_where_they_are() -> None:
    assert set(degraded(Knows(), SCENES)) == set(DEGRADATIONS)
    for name, spoil in DEGRADATIONS.items():
        sample, image = spoil(SCENES[0])
        assert image.shape == (100, 200, 3)
        if not name.startswith("turned"):
            assert sample.boxes is SCENES[0][0].boxes


def test_turned_faces_go_with_the_picture_and_out_of_it() -> None:
    sample, _ = turned(SCENES[0], 90)
    # about (100, 50) by a quarter, anticlockwise: the small face's middle (130, 31) goes to (81, 20), the large one out
    assert sample.boxes.tolist() == [pytest.approx([70, 10, 22, 20], abs=0.01)]
    assert len(sample.ignore) == 2


def test_table_names_every_state() -> None:
    report = {"ours": {"faces_32px": {"confusion": [[1, 2, 3, 4]] * 3}}}
    lines = table(report).splitlines()
    assert len(lines) == 4
    assert lines[2].split() == ["incorrect", "1", "2", "3", "4"]


def test_letterbox_pads_below_and_right_to_whole_strides() -> None:
    x, scale = letterbox(np.full((480, 640, 3), 255, np.uint8), 320)
    assert x.shape == (1, 3, 256, 320)
    assert scale == 0.5
    assert x[0, 0, :240].min() == 255
    assert x[0, 0, 240:].max() == 0
    tall, _ = letterbox(np.zeros((300, 100, 3), np.uint8), 320)
    assert tall.shape == (1, 3, 320, 128)


def test_cluster_means_boxes_and_states_by_squared_score() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 12, 10]], np.float32)
    scores = np.array([0.8, 0.4], np.float32)
    states = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    found = cluster(boxes, scores, np.zeros((2, 5, 2), np.float32), states, 0.5)
    assert found.mask is not None
    assert found.mask[0].tolist() == pytest.approx([0.8, 0.2, 0])
    assert found.boxes[0].tolist() == pytest.approx([0, 0, 20.8, 20])
    assert corners(np.array([[1.0, 2, 3, 4]])).tolist() == [[1, 2, 4, 6]]
