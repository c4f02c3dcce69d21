"""Hypothesis on any machine: nothing is judged by the clock, and every run says how to play it again."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True, database=None
)
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """The same examples every time, unless somebody gave another seed, as `make faults` does."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = "1"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say the seed."""
    terminalreporter.write_line(
        f"the same examples again: --hypothesis-seed={terminalreporter.config.option.hypothesis_seed}"
    )
