"""Stops single threads of another process, as nothing but a debugger or a broken kernel does."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SEIZE, _INTERRUPT, _CONT, _WALL = 0x4206, 0x4207, 7, 0x40000000
_IN_NO_CALL = "-1 "


def threads(pid: int) -> list[tuple[int, str]]:
    """The threads of a process and their names, the one of its event loop first; those of libraries have its name."""
    found = []
    for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda each: int(each.name)):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            found.append((int(task.name), (task / "comm").read_text(encoding="utf-8").strip()))
    return found


def hold(thread: int) -> None:
    """Stop one thread while it waits for the system: one that computes may hold what all need, Python's own lock.

    Not the first, whose stop reads as the end of its process. Raises OSError.
    """
    _ptrace(_SEIZE, thread)
    while True:
        _ptrace(_INTERRUPT, thread)
        os.waitpid(thread, _WALL)
        if not Path(f"/proc/{thread}/syscall").read_text(encoding="utf-8").startswith(_IN_NO_CALL):
            return
        _ptrace(_CONT, thread)


def bury(thread: int) -> None:
    """Take note that a held thread was killed: before whoever traces it has, its process does not end."""
    os.waitpid(thread, _WALL)


@contextmanager
def held(pid: int, *stopped: int) -> Iterator[None]:
    """Threads of a process stand still while the block lasts; then it is killed."""
    seized = []
    try:
        for thread in stopped:
            hold(thread)
            seized.append(thread)
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        for thread in seized:
            bury(thread)


def _ptrace(request: int, thread: int) -> None:
    if ctypes.CDLL(None, use_errno=True).ptrace(request, thread, 0, 0):
        raise OSError(ctypes.get_errno(), "ptrace")
