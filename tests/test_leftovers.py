"""A run that was killed with -9 leaves nothing that the next one stumbles over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import leftovers
from tests.limits import HANG_S

ROOT = Path(__file__).parents[1]
# What tests do: a child in a session of its own, a stopped one, temporary folders, a file system in a file.
RUN = """
import os, signal, subprocess, sys, time
from pathlib import Path
from tests import leftovers
folder = Path(sys.argv[1])
home = leftovers.begin()
leftovers.mount_apart()
quick = leftovers.quick_folder()
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
stopped = subprocess.Popen(["sleep", "1000"])
stopped.send_signal(signal.SIGSTOP)
(folder / "there").mkdir()
(folder / "disk.img").write_bytes(bytes(8_000_000))
mounted = os.geteuid() == 0 and all(
    subprocess.run(command).returncode == 0
    for command in (
        ["mkfs.ext4", "-q", "-F", folder / "disk.img"],
        ["mount", "-o", "loop", folder / "disk.img", folder / "there"],
    )
)
print(os.environ[leftovers.MARK], home, quick.name, child.pid, stopped.pid, int(mounted), flush=True)
time.sleep(1000)
"""


class Run:
    """A process that began a run, and what it has in the machine."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process = process
        self.mark, home, quick, *rest = process.stdout.readline().split()
        self.folders = [Path(home), Path(quick)]
        *self.children, self.mounted = map(int, rest)

    def warden(self) -> int:
        """The process that removes what the run leaves."""
        [pid] = [
            int(folder.name)
            for folder in Path("/proc").glob("[0-9]*")
            if self.mark in _command_line(folder) and "--after" in _command_line(folder)
        ]
        return pid

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        self._process.wait()

    def is_gone(self) -> bool:
        """Whether nothing of it is left."""
        return not any(folder.exists() for folder in self.folders) and not any(map(leftovers.started, self.children))


def _command_line(folder: Path) -> list[str]:
    try:
        return (folder / "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
    except OSError:  # it has just ended
        return []


@contextmanager
def a_run(folder: Path) -> Iterator[Run]:
    process = subprocess.Popen([sys.executable, "-c", RUN, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield Run(process)
        finally:
            process.kill()


def eventually(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + HANG_S
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def backing_files() -> list[str]:
    return [path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")]


def test_a_warden_removes_what_a_killed_run_left(tmp_path: Path) -> None:
    with a_run(tmp_path) as run:
        assert not run.is_gone()
        if run.mounted:
            assert str(tmp_path / "disk.img") in backing_files()
            assert str(tmp_path / "there") not in Path("/proc/mounts").read_text()
        run.kill()
        eventually(run.is_gone)
        eventually(lambda: str(tmp_path / "disk.img") not in backing_files())
        (tmp_path / "there").rmdir()  # as pytest does three runs later


def test_the_next_run_removes_what_a_run_and_its_warden_left(tmp_path: Path) -> None:
    with a_run(tmp_path) as run:
        assert leftovers.remove(run.mark) == []  # it is not over
        os.kill(run.warden(), signal.SIGKILL)
        run.kill()
        leftovers.remove(run.mark)
        eventually(run.is_gone)


def test_only_a_mark_of_this_machine_is_ever_over() -> None:
    here = leftovers.namespace()
    others = ("", "x", "1", "1-", f"-5-{here}", f"{os.getpid()}", "1-1-1", f"{os.getpid()}-1-{here}-x")
    assert [leftovers.is_over(mark) for mark in others] == [False] * len(others)
    assert not leftovers.is_over(leftovers.mark_of(os.getpid()))
    assert leftovers.is_over(f"{os.getpid()}-1-{here}")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_what_this_run_mounts_is_not_seen_by_others(tmp_path: Path) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("may not mount a disk here")
    try:
        assert str(tmp_path) in Path("/proc/mounts").read_text()
        assert str(tmp_path) not in Path("/proc/1/mounts").read_text()
    finally:
        subprocess.run(["umount", tmp_path], check=True)
