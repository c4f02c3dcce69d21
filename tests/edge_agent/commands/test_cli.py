"""`edge-agent` in a shell that gives it no fit place to write to."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from config.errors import SettingsError
from drivers.errors import DeviceLost
from drivers.simulated.devices.sensor_frames import gy_mcu90614
from edge_agent.commands.options import report_errors
from tests.limits import HANG_S

AGENT = shlex.join([sys.executable, "-m", "edge_agent.commands.cli"])


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", f"{AGENT} {line}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
        env=os.environ | environment,
    )


@pytest.mark.parametrize("words", ["version", "--help"])
def test_an_output_without_room_is_told_in_a_sentence(words: str) -> None:
    ended = shell(f"{words} >/dev/full")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert "No space left" in ended.stderr


def test_an_output_that_is_closed_is_none(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(gy_mcu90614(36.5, 25.0))
    ended = shell(f"devices replay --driver gy-mcu90614 {tmp_path}/bytes >&- <&-")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_terminal_without_chinese_gets_the_rest() -> None:
    ended = shell("--help", PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "doctor" in ended.stdout


def test_what_ended_a_group_of_groups_is_told_by_its_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    parts = ExceptionGroup("tasks", [DeviceLost("the reader is gone"), SettingsError("lane is wrong")])
    with pytest.raises(typer.Exit) as left, report_errors(DeviceLost):
        raise ExceptionGroup("all tasks", [parts])
    assert left.value.exit_code == 2
    assert capsys.readouterr().err == "edge-agent: the reader is gone\nedge-agent: lane is wrong\n"
    with pytest.raises(ExceptionGroup), report_errors(DeviceLost):
        raise ExceptionGroup("all tasks", [parts, KeyError("a bug")])


@pytest.mark.parametrize("module", ["edge_agent.commands.start", "sync.platform.commands.start"])
def test_ctrl_c_while_the_commands_are_imported_ends_quietly(module: str, tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    path = os.pathsep.join([str(tmp_path), str(Path.cwd())])
    with subprocess.Popen(
        [sys.executable, "-c", f"from {module} import main; main()"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (-signal.SIGINT, "")
