"""The weights that registered faces need, where they lie beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[4] / "shared" / "models"


@pytest.fixture(scope="session")
def weights() -> Path:
    """The folder of other people's weights beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"needs other people's weights in {SHARED}")
    return SHARED
