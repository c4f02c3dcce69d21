"""What a run of the tests that was killed leaves in the machine, and how it is recognised and removed.

Every run has a mark, the process that began it: `PID-STARTED-NAMESPACE`. Its children inherit the mark in their
environment, and its temporary folders carry it in their names. A mark whose process has ended belongs to a run that is
over, so what carries it is removed: by a warden when the run ends, however it ends, and at the beginning of the next.
What the tests mount lies in a mount namespace of the run, which the kernel removes with its last process, loop devices
included.

`python -m tests.leftovers` removes what is there and says what it was. It needs the standard library alone.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "SENTINEL_TESTS_RUN"
PREFIX = "sentinel-tests-"
PYTEST_MARK = ".sentinel-tests"  # in a folder of pytest's: the run that made it
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - folders that carry the mark in their names
_NEW_MOUNTS, _RECURSIVE, _PRIVATE = 0x20000, 0x4000, 0x40000  # CLONE_NEWNS, MS_REC, MS_PRIVATE
_GOES_S = 10.0


def started(pid: int) -> str | None:
    """When a process began, in the kernel's ticks; None when there is none."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] in "ZX" else after_name[19]  # a zombie has ended


def namespace() -> str:
    """The number of the namespace in which this process sees others: a container has its own."""
    return Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")


def mark_of(pid: int) -> str:
    """The mark of the run that this process began."""
    return f"{pid}-{started(pid)}-{namespace()}"


def is_over(mark: str) -> bool:
    """Whether the run of this mark has ended; False for one of another namespace, and for any other text."""
    pid, began, where, *more = [*mark.split("-"), "", ""][:4]
    return pid.isdigit() and began.isdigit() and where == namespace() and not any(more) and started(int(pid)) != began


def begin() -> Path:
    """Mark this process and all that it starts; the run's folder for temporary files, which are below it from now on.

    pytest's own folders stay where they are: it keeps the last three to find out what went wrong.
    """
    mark = mark_of(os.getpid())
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    home = temp_root() / f"{PREFIX}{mark}"
    home.mkdir()
    home.chmod(0o1777)  # as /tmp: PostgreSQL and other users of the tests have files there
    os.environ[MARK] = mark
    os.environ["TMPDIR"] = tempfile.tempdir = str(home)
    read_end, _ = os.pipe()  # the other end is closed when this process ends
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-S", __file__, "--after", mark],
        {name: text for name, text in os.environ.items() if name not in (MARK, "TMPDIR")},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, read_end, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setsid=True,  # Ctrl-C is not for it
    )
    os.close(read_end)
    return home


def quick_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder in memory, where a commit waits for no disk: for tests in which it does not matter what was synced."""
    mark = os.environ.get(MARK) or mark_of(os.getpid())
    return tempfile.TemporaryDirectory(prefix=f"{PREFIX}{mark}-", dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None)


def temp_root() -> Path:
    """Where the folders of runs lie."""
    return Path(os.environ.get("PYTEST_DEBUG_TEMPROOT") or tempfile.gettempdir())


def mount_apart() -> None:
    """Let what this process and its children mount from now on be seen by them alone; without rights do nothing."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS) == 0:
        libc.mount(None, b"/", None, _RECURSIVE | _PRIVATE, None)


def orphans() -> Iterator[tuple[int, str]]:
    """The processes that carry the mark of a run that is over, in the environment they began with."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for each in (folder / "environ").read_bytes().split(b"\0"):
                name, _, mark = each.partition(b"=")
                if name == MARK.encode() and is_over(mark.decode(errors="replace")):
                    yield int(folder.name), mark.decode()


def folders() -> Iterator[tuple[Path, str]]:
    """The folders that carry a mark in their names."""
    for place in {temp_root(), SHARED_MEMORY}:
        for path in place.glob(f"{PREFIX}*"):
            yield path, "-".join(path.name.removeprefix(PREFIX).split("-")[:3])


def remove(only: str | None = None) -> list[str]:
    """Remove what runs that are over, or the one of the mark `only`, have left; returns a line for each thing.

    PostgreSQL ends at once by SIGQUIT, and removes its shared memory, which SIGKILL would leave.
    """
    gone = []
    for pid, mark in orphans():
        if only in (None, mark):
            with suppress(ProcessLookupError, PermissionError):
                name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
                os.kill(pid, signal.SIGQUIT if name == "postgres" else signal.SIGKILL)
                gone.append(f"process {pid} ({name})")
    deadline_s = time.monotonic() + _GOES_S
    while gone and time.monotonic() < deadline_s and any(only in (None, mark) for _, mark in orphans()):
        time.sleep(0.02)  # what was killed may still write for a moment
    for path, mark in folders():
        if is_over(mark) and only in (None, mark):
            shutil.rmtree(path, ignore_errors=True)
            gone.append(str(path))
    return gone


def pytest_folders() -> Iterator[Path]:
    """pytest's folders of runs of these tests that are over; it keeps three of them itself."""
    for mark in temp_root().glob(f"pytest-of-*/pytest-*/{PYTEST_MARK}"):
        with suppress(OSError):
            if not mark.parent.is_symlink() and is_over(mark.read_text(encoding="ascii")):
                yield mark.parent


def main(arguments: list[str]) -> None:
    """Wait for the end of a run and remove what it left, or remove what all that are over have left."""
    if arguments[:1] == ["--after"]:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stdin.buffer.read()
        while not is_over(arguments[1]):  # its files are closed a moment before it is gone
            time.sleep(0.05)
        remove(arguments[1])
        return
    gone = remove()
    for folder in list(pytest_folders()):
        shutil.rmtree(folder, ignore_errors=True)
        gone.append(str(folder))
    for each in gone:
        print(f"removed {each}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
