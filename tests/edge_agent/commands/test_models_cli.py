"""`edge-agent models` for whoever runs it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_agent.commands.cli import app
from tests.rights import without_rights


def test_a_file_that_cannot_be_read_is_told() -> None:
    told = CliRunner().invoke(app, ["models", "add", "/proc/self/mem"])
    assert (told.exit_code, "Input/output error" in told.output) == (1, True)


@pytest.mark.parametrize("verb", ["list", "verify"])
def test_who_may_not_look_is_sent_to_sudo(tmp_path: Path, verb: str) -> None:
    shut = tmp_path / "data"
    shut.mkdir(mode=0)
    with without_rights():
        told = CliRunner().invoke(app, ["models", verb, "--data", str(shut)])
    assert told.exit_code == 1
    assert "sudo" in told.output
