"""The map of upper halves: the mean of the sources goes to zero, and directions that change with the mask shrink."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.upper_face import fit


def views(rng: np.random.Generator, photos: int, shift: float) -> np.ndarray:
    """Photos (photos, 3 views, 4): views of one photo differ in the last coordinate only."""
    person = rng.normal(0, 1, (photos, 1, 4)) * (1, 1, 1, 0) + (shift, 0, 0, 0)
    return np.asarray(person + rng.normal(0, 1, (photos, 3, 4)) * (0, 0, 0, 1), np.float32)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_the_mask_changes_counts_less(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sources = {"few": views(rng, 40, 3.0), "many": views(rng, 400, -1.0)}
    affine = fit(sources)
    assert affine.shape == (5, 4)
    assert affine[0, 0] == pytest.approx(1.0, abs=0.3)  # the middle of both, not that of all photos
    kept, reduced = np.abs(np.diag(affine[1:]))[[0, 3]]
    assert kept == pytest.approx(1.0, abs=0.1)
    assert reduced < 0.6 * kept
