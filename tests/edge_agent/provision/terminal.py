"""A command on a pseudo-terminal, as an installer has it in front of him."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.limits import HANG_S

_LOCAL_MODES = 3  # of tcgetattr
_POLL_S = 0.01


class Terminal:
    """What the command shows, and the answers typed at its prompts."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self.shown = ""
        self._master = master
        self._process = process
        self._read_to = 0

    def expect(self, text: str) -> None:
        """Read until `text` was shown after what was expected before."""
        end_s = time.monotonic() + HANG_S
        while (at := self.shown.find(text, self._read_to)) < 0:
            assert self._read(end_s), f"{text!r} was not shown: {self.shown[self._read_to :]}"
        self._read_to = at + len(text)

    def answer(self, prompt: str, line: str, *, hidden: bool = False) -> None:
        """Wait for `prompt` and type `line`; `hidden`: when the terminal shows nothing of it."""
        self.expect(prompt)
        end_s = time.monotonic() + HANG_S
        while hidden and termios.tcgetattr(self._master)[_LOCAL_MODES] & termios.ECHO:
            assert time.monotonic() < end_s, f"what is typed at {prompt!r} is shown"
            time.sleep(_POLL_S)  # no event: the command prints the prompt before it changes the terminal
        os.write(self._master, f"{line}\n".encode())

    def ended(self) -> int:
        """Read to the end; returns the exit status."""
        end_s = time.monotonic() + HANG_S
        while self._read(end_s):
            pass
        return self._process.wait(HANG_S)

    def _read(self, end_s: float) -> bool:
        if not select.select([self._master], [], [], max(0.0, end_s - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._master, 4096)
        except OSError:  # the other end was closed
            return False
        self.shown += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)


@contextmanager
def on_terminal(*words: str) -> Iterator[Terminal]:
    """`edge-agent` with these words on a terminal of its own; it is ended with the block."""
    master, slave = os.openpty()
    command = ["setsid", "--ctty", "--wait", sys.executable, "-m", "edge_agent.commands.cli", *words]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "COLUMNS": "200"})
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        os.close(master)  # ends what is on the terminal
        process.kill()
        process.wait(HANG_S)
