"""The threads of this process: none that idles in a library, each of ours by its name, and the shared ones asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from pathlib import Path

_NAME_LIMIT = 15  # bytes that the kernel keeps of a name


def without_pools() -> None:
    """Let OpenBLAS and OpenCV compute on the thread that calls them, one of ours that is watched.

    Both read it when they are loaded, so this comes before. OpenBLAS would keep an idle thread a core and library.
    """
    for name in ("OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ.setdefault(name, "1")


def show_names() -> None:
    """Give the kernel the names of our threads, for `ps -L`, `top -H` and whoever asks which of them stands still."""
    for thread in threading.enumerate():
        if thread is not threading.main_thread():  # its name is the process's
            with contextlib.suppress(OSError):  # it has just ended
                name = thread.name.encode()[:_NAME_LIMIT]
                Path(f"/proc/self/task/{thread.native_id}/comm").write_bytes(name)


async def touch_shared() -> None:
    """Return as soon as one of the threads that all share is free: while one is, no other of them is missed."""
    await asyncio.to_thread(lambda: None)
