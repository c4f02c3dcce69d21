"""Cancels work on SIGINT and SIGTERM, and ends the process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def until_signalled(work: Coroutine[Any, Any, T]) -> T | None:
    """Run `work`; returns its result, or None when SIGINT or SIGTERM cancelled it and it has closed what it opened."""
    task = asyncio.create_task(work)
    stopped = asyncio.Event()

    def stop() -> None:
        stopped.set()
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        if not stopped.is_set():
            raise
        return None


def leave(code: int = 0) -> None:
    """End the process at once with exit status `code` if another thread still runs; otherwise return.

    A blocked camera keeps an abandoned thread inside OpenCV, and the interpreter's shutdown would abort on it. The
    caller has closed its files and connections.
    """
    if threading.active_count() > 1:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
