from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.detectors.nms import greedy_nms, overlap
from tests.models.fakes import steady

Scored = tuple[NDArray[np.float32], NDArray[np.float32]]


def arranged(rows: list[tuple[int, int, int, int, float]]) -> Scored:
    """Boxes (n, 4) and scores (n,) of rows left, top, width, height, score."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return np.concatenate((table[:, :2], table[:, :2] + table[:, 2:4]), axis=1), table[:, 4]


sides, places = st.integers(0, 30), st.integers(0, 60)
scored_boxes = st.lists(st.tuples(places, places, sides, sides, st.floats(0, 1, width=32)), max_size=40).map(arranged)


def test_overlap_of_known_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]], np.float32)
    assert overlap(boxes[0], boxes).tolist() == pytest.approx([1, 1 / 3, 0, 0])


@steady
@given(scored_boxes, st.sampled_from((0.0, 0.3, 0.5)))
def test_what_stays_does_not_overlap_and_owns_the_rest(boxed: Scored, limit: float) -> None:
    boxes, scores = boxed
    kept, owner = greedy_nms(boxes, scores, limit)
    assert list(scores[kept]) == sorted(scores[kept], reverse=True)
    for target, index in enumerate(kept):
        assert owner[index] == target
        assert (np.delete(overlap(boxes[index], boxes[kept]), target) <= limit).all()
    for index in set(range(len(boxes))) - set(kept.tolist()):
        best = kept[owner[index]]
        assert scores[best] >= scores[index]
        assert overlap(boxes[best], boxes[index : index + 1])[0] > limit


@steady
@given(scored_boxes)
def test_doing_it_again_changes_nothing(boxed: Scored) -> None:
    boxes, scores = boxed
    kept, _ = greedy_nms(boxes, scores, 0.3)
    again, _ = greedy_nms(boxes[kept], scores[kept], 0.3)
    assert again.tolist() == list(range(len(kept)))
