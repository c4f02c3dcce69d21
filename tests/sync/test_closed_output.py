"""Commands whose standard output is a pipe that nobody reads any more."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.limits import HANG_S

SCRIPT = """
import os, signal, sys
from sync.terminal.closed_output import ends_quietly_without_reader
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
with ends_quietly_without_reader():
    {body}
"""
WRITE = "sys.stdout.write('x'); sys.stdout.flush()"
GROUPED = f"""
    try:
        {WRITE}
    except OSError as exc:
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [exc])])
"""


@pytest.mark.parametrize(
    ("body", "is_read", "quiet"),
    [
        (WRITE, False, True),
        (GROUPED, False, True),
        ("raise BrokenPipeError('of a socket')", True, False),
        ("raise ExceptionGroup('tasks', [BrokenPipeError(), KeyError('a bug')])", False, False),
        ("raise ValueError('a bug')", False, False),
    ],
    ids=["one error", "in groups", "another pipe", "beside a bug", "a bug"],
)
def test_only_the_end_of_the_reader_is_quiet(body: str, *, is_read: bool, quiet: bool) -> None:
    reader, writer = os.pipe()
    if not is_read:
        os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body=body)],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    os.close(writer)
    assert ended.returncode == 1
    assert (ended.stderr == "") is quiet, ended.stderr
