"""Figures on cases small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.metrics import (
    Judged,
    average_precision,
    confusion,
    ious,
    mask_figures,
    match,
    nms,
    recall_at_alarms,
)

A, B, C = [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]
FAR = [100, 100, 110, 110]
NOTHING = np.zeros((0, 4), np.float32)


def boxes(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_ious() -> None:
    assert ious(boxes(A), boxes(A, [5, 0, 15, 10], FAR))[0].tolist() == pytest.approx([1, 1 / 3, 0])


def test_average_precision_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    picture = match(boxes(A, FAR, B), scores, boxes(A, B), np.array([0, 1]), NOTHING)
    assert picture.hit.tolist() == [True, False, True]
    # precision 1 up to recall 1/2, then 2/3 up to recall 1
    assert average_precision([picture]) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert recall_at_alarms([picture], 0) == 0.5
    assert recall_at_alarms([picture], 1) == 1.0


def test_a_second_detection_of_one_face_is_a_false_alarm() -> None:
    picture = match(boxes(A, A), np.array([0.5, 0.9], np.float32), boxes(A), np.array([0]), NOTHING)
    assert picture.hit.tolist() == [False, True]
    assert picture.counted.tolist() == [True, True]


def test_ignore_regions_count_neither_way() -> None:
    region = boxes([18, -2, 60, 40])
    picture = match(boxes(A, B, FAR), np.array([0.9, 0.8, 0.1], np.float32), boxes(A), np.array([0]), region)
    assert picture.counted.tolist() == [True, False, True]
    assert average_precision([picture]) == 1.0


def test_no_faces_and_no_detections() -> None:
    empty = match(NOTHING, np.zeros(0, np.float32), NOTHING, np.zeros(0, np.int64), NOTHING)
    assert average_precision([empty]) == 0.0
    missed = match(NOTHING, np.zeros(0, np.float32), boxes(A), np.array([1]), NOTHING)
    assert missed.found.tolist() == [-1]
    assert average_precision([missed]) == recall_at_alarms([missed]) == 0.0


def test_mask_figures_by_hand() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    answer = np.array([0, 0, 1, -1, 1, 2, 2, 0])
    judged = Judged(truth, answer)
    assert confusion(judged).tolist() == [[2, 1, 0, 1], [0, 1, 1, 0], [1, 0, 1, 0]]
    figures = mask_figures(judged)
    assert figures["recall_correct"] == pytest.approx(2 / 3)
    assert figures["balanced"] == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 3)
    assert figures["balanced_missed_wrong"] == pytest.approx(0.5)
    # answered properly or not: right for 2 correct, both incorrect, one none, of 7 found
    assert figures["properly_worn"] == pytest.approx(5 / 7)
    assert figures["properly_worn_missed_wrong"] == pytest.approx(5 / 8)
    # mask or none: 3 correct, 1 incorrect, 1 none, of 7 found
    assert figures["mask_vs_none"] == pytest.approx(5 / 7)


def test_nms_returns_clusters_best_first() -> None:
    near = [1, 0, 11, 10]
    clusters = nms(boxes(near, C, A), np.array([0.5, 0.6, 0.9], np.float32), 0.5)
    assert [c.tolist() for c in clusters] == [[2, 0], [1]]


def test_nms_of_a_degenerate_box_ends() -> None:
    assert len(nms(boxes([5, 5, 5, 5]), np.array([1.0], np.float32), 0.5)) == 1
