"""Ends work when the process is asked to stop."""

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
    """The result of `work`, or None when SIGINT or SIGTERM cancelled it; it has closed all it opened then."""
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
    """End the process now with `code`, if a thread hangs in foreign code; else return.

    A camera that blocks for ever keeps its abandoned thread inside OpenCV; the interpreter's own way out would run
    into it and abort. Everything of ours is closed by then.
    """
    if threading.active_count() > 1:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
