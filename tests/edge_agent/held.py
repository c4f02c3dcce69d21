"""Stops single threads of another process, as nothing but a debugger or a broken kernel does."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.limits import HANG_S

_SEIZE, _INTERRUPT, _CONT, _WALL = 0x4206, 0x4207, 7, 0x40000000
# Calls in which a thread waits for others or for a device; Python gives up its lock before them.
_WAITS = {
    "x86_64": {"poll": 7, "select": 23, "nanosleep": 35, "clock_nanosleep": 230, "epoll_wait": 232, "pselect6": 270},
    "aarch64": {"pselect6": 72, "ppoll": 73, "nanosleep": 101, "clock_nanosleep": 115, "epoll_pwait": 22},
}[platform.machine()].values()
_FUTEX = {"x86_64": 202, "aarch64": 98}[platform.machine()]
_FUTEX_WAIT_BITSET = 9  # of semaphores and conditions; FUTEX_WAIT is of mutexes
_FUTEX_KIND = 0x7F  # without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME
_TRY_S = 0.001


def threads(pid: int) -> list[tuple[int, str]]:
    """The threads of a process and their names, the one of its event loop first; those of libraries have its name."""
    found = []
    for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda each: int(each.name)):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            found.append((int(task.name), (task / "comm").read_text(encoding="utf-8").strip()))
    return found


def hold(thread: int) -> None:
    """Stop one thread while it waits: one that computes, or is in another call, may hold what all threads need.

    That is Python's lock, the mutex that guards it (while another thread is woken) or the allocator's (while memory
    is mapped); with one of them stopped the whole process stops. Not the first thread, whose stop reads as the end of
    its process. Raises OSError, and TimeoutError for a thread that never waits.
    """
    _ptrace(_SEIZE, thread)
    deadline_s = time.monotonic() + HANG_S
    while time.monotonic() < deadline_s:
        _ptrace(_INTERRUPT, thread)
        os.waitpid(thread, _WALL)
        if waits(Path(f"/proc/{thread}/syscall").read_text(encoding="utf-8")):
            return
        _ptrace(_CONT, thread)
        time.sleep(_TRY_S)
    raise TimeoutError(f"thread {thread} never waits")


def waits(call: str) -> bool:
    """Whether a line of /proc/PID/syscall is of a thread that waits without a limit, or for a device or a time.

    On a futex with a limit Python's threads wait for its lock; the one that then gives it up waits until they have it.
    """
    number, *arguments = call.split()
    if not number.isdigit():
        return False
    if int(number) != _FUTEX:
        return int(number) in _WAITS
    kind, timeout = int(arguments[1], 16) & _FUTEX_KIND, int(arguments[3], 16)
    return kind == _FUTEX_WAIT_BITSET and timeout == 0


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
