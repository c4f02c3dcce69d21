"""Hypothesis on any machine: nothing is judged by the clock, and every run says how to play it again."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True, database=None
)
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed of this run, which the other processes get with the options, unless somebody gave one."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(secrets.randbelow(2**32))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say the seed."""
    terminalreporter.write_line(
        f"the same examples again: --hypothesis-seed={terminalreporter.config.option.hypothesis_seed}"
    )
