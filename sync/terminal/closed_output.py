"""Standard output whose reader has ended, as in `edge-agent devices watch | head`; shared by both command lines."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sync.errors import leaf_exceptions


@contextmanager
def ends_quietly_without_reader() -> Iterator[None]:
    """Exit with status 1 and no traceback when the block failed only because the reader of standard output has ended.

    A broken pipe of another connection, or beside another error, is raised.
    """
    try:
        yield
    except (BrokenPipeError, ExceptionGroup) as exc:
        if not (all(isinstance(each, BrokenPipeError) for each in leaf_exceptions(exc)) and _reader_has_ended()):
            raise
        give_up_output()
        raise SystemExit(1) from None


def give_up_output() -> None:
    """Redirect standard output to the null device, so that flushing it at exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _reader_has_ended() -> bool:
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))
