"""SIGINT while a command line is being imported. Imports nothing else of ours, so that it takes effect early."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_interrupt() -> Iterator[None]:
    """During the block SIGINT ends the process at once, without a traceback (a shell reports 130).

    A handler other than Python's default, such as an ignored signal, stays.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, signal.default_int_handler)
