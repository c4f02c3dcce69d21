"""What lies beside the checkout and not in it: weights of other people, which the repository may not carry."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "models"
NEEDS = "needs other people's weights"


def weights_beside() -> Path:
    """The folder of other people's weights; the test is skipped where there is none."""
    if not SHARED.is_dir():
        pytest.skip(f"{NEEDS} in {SHARED}")
    return SHARED


def told_of(skipped: list[pytest.TestReport]) -> str | None:
    """The line for the end of a run in which tests were skipped for want of these weights."""
    count = sum(NEEDS in str(report.longrepr) for report in skipped)
    return f"{count} tests skipped: they need other people's weights in {SHARED}" if count else None
