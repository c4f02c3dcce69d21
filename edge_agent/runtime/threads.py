"""The threads of this process: no idle pools of libraries, names in the kernel, a probe of the shared pool."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from pathlib import Path

_NAME_LIMIT_BYTES = 15  # TASK_COMM_LEN without the closing zero


def without_pools() -> None:
    """Make OpenBLAS and OpenCV compute on the calling thread, which the watchdog covers.

    Call this before either is imported: they read the environment when loaded. OpenBLAS would keep one idle thread per
    core and per library.
    """
    for name in ("OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ.setdefault(name, "1")


def show_names() -> None:
    """Copy the Python thread names to the kernel, for `ps -L` and `top -H`."""
    for thread in threading.enumerate():
        if thread is not threading.main_thread():  # its name is the name of the process
            with contextlib.suppress(OSError):  # the thread has just ended
                name = thread.name.encode()[:_NAME_LIMIT_BYTES]
                Path(f"/proc/self/task/{thread.native_id}/comm").write_bytes(name)


async def touch_shared() -> None:
    """Return as soon as a thread of asyncio's default executor is free; waits while all of them are blocked."""
    await asyncio.to_thread(lambda: None)
