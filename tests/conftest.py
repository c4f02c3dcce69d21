"""On any machine and any day: no clock judges, what a killed run left is removed, and every run names its seed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import leftovers
from tests.beside import told_of, weights_beside

settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True, database=None
)
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Begin a run, once for all its processes; the same examples every time unless a seed is given (`make faults`)."""
    mark = os.environ.get(leftovers.MARK)
    if mark is None or leftovers.is_over(mark):
        leftovers.remove()
        leftovers.begin()
        leftovers.mount_apart()
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = "1"


@pytest.fixture(scope="session", autouse=True)
def marked(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Note whose run made pytest's folder, for `make clean`."""
    base = tmp_path_factory.getbasetemp()
    whole = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    (whole / leftovers.PYTEST_MARK).write_text(os.environ[leftovers.MARK], encoding="ascii")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """The folder of other people's weights beside the checkout."""
    return weights_beside()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not tested for want of weights, and the seed."""
    if (line := told_of(terminalreporter.stats.get("skipped", []))) is not None:
        terminalreporter.write_line(line)
    terminalreporter.write_line(
        f"the same examples again: --hypothesis-seed={terminalreporter.config.option.hypothesis_seed}"
    )
