"""Ends a process in which a thread hangs in foreign code."""

from __future__ import annotations

import logging
import os
import sys
import threading


def leave(code: int = 0) -> None:
    """End the process now with `code` if another thread still runs; else return.

    A camera that blocks without limit keeps its abandoned thread inside OpenCV, where the normal exit of the
    interpreter would abort. Everything that the agent opened is closed by then.
    """
    if threading.active_count() > 1:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
