"""The weights that registered faces need, where they lie beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def weights(shared_weights: Path) -> Path:
    """The folder of other people's weights."""
    return shared_weights
