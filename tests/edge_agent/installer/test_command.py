"""Commands of the installer: no limit on slow ones, a limit on those that stand still, the reason first."""

from __future__ import annotations

import os
import select
import sys
import time
from pathlib import Path

import pytest

from edge_agent.installer.command import run
from edge_agent.installer.errors import InstallError, NotUndone
from edge_agent.installer.step import InstallStep, apply
from tests.limits import HANG_S

STALL_S, LOOK_S = 0.4, 0.05
SLOW = "import sys, time\nfor _ in range(12):\n    time.sleep(0.1)\n    {work}\nprint('done')"


def quick(*command: str | Path) -> str:
    return run(*command, stall_limit_s=STALL_S, look_every_s=LOOK_S)


@pytest.mark.parametrize(
    "work",
    [
        "sys.stdout.write('.')\n    sys.stdout.flush()",
        "open({file!r}, 'ab').write(b'x' * 4096)",
        "open(__import__('os').__file__, 'rb').read()",
        "__import__('subprocess').run(['cat', __import__('os').__file__], capture_output=True)",
    ],
    ids=["prints", "writes", "reads", "has another program work"],
)
def test_a_slow_command_may_take_longer_than_the_limit(tmp_path: Path, work: str) -> None:
    begun_s = time.monotonic()
    assert quick(sys.executable, "-c", SLOW.format(work=work.format(file=str(tmp_path / "file")))).endswith("done\n")
    assert time.monotonic() - begun_s > 2 * STALL_S


@pytest.mark.parametrize("script", ["exec sleep 600", "echo begun; sleep 600 & wait", "while :; do :; done"])
def test_a_command_that_stands_still_is_stopped_with_its_programs(tmp_path: Path, script: str) -> None:
    fifo = tmp_path / "held-open"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(InstallError, match=r"^停滞 no progress for 0 s"):
        quick("sh", "-c", f"exec 3>{fifo}; {script}")
    assert select.select([reader], [], [], HANG_S)[0], "a program that holds the pipe open still runs"
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_the_reason_comes_before_the_command_and_a_long_command_is_shortened() -> None:
    wheels = [f"/media/stick/wheelhouse/package{number}-1.0-py3-none-any.whl" for number in range(80)]
    with pytest.raises(InstallError) as failed:
        quick("sh", "-c", "echo working; echo 'No space left on device' >&2; exit 1", *wheels)
    lines = str(failed.value).splitlines()
    assert lines[:2] == ["working", "No space left on device"]
    assert lines[2].startswith("命令 command: sh -c") and len(lines[2]) < 300
    with pytest.raises(InstallError, match=r"^退出码 exit status 3\n"):
        quick("sh", "-c", "exit 3")
    with pytest.raises(InstallError, match="no-such-program"):
        quick("no-such-program")


class Step(InstallStep):
    def __init__(self, name: str, error: Exception | None = None, *, keeps: bool = False) -> None:
        super().__init__(name, name)
        self.error, self.keeps, self.undone = error, keeps, False

    def is_done(self) -> bool:
        return False

    def do(self) -> None:
        if self.error is not None:
            raise self.error

    def undo(self) -> None:
        if self.keeps:
            raise PermissionError(1, "Operation not permitted", "/etc/passwd")
        self.undone = True


def test_the_reason_is_said_before_what_is_undone() -> None:
    said: list[str] = []
    with pytest.raises(InstallError, match="no room"):
        apply([Step("one"), Step("two", InstallError("no room"))], said.append)
    assert said == ["✓ one / one", "✗ no room", "↩ 已撤销 undone: two / two", "↩ 已撤销 undone: one / one"]


def test_a_step_that_cannot_be_undone_is_named_and_the_others_are_undone() -> None:
    first, said = Step("one"), list[str]()
    with pytest.raises(NotUndone, match="by hand: two"):
        apply([first, Step("two", keeps=True), Step("three", OSError("no room"))], said.append)
    assert first.undone
    assert any(line.startswith("! 未能撤销 not undone: two") and "/etc/passwd" in line for line in said)
