"""Runs the programs of the installer, for as long as they make progress."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

from edge_agent.installer.errors import InstallError

STALL_LIMIT_S = 300.0
LOOK_EVERY_S = 1.0
_REASON_LINES = 5
_COMMAND_CHARS = 200
_SESSION, _CPU = 3, slice(11, 13)  # fields of /proc/PID/stat after the program's name


def run(*command: str | Path, stall_limit_s: float = STALL_LIMIT_S, look_every_s: float = LOOK_EVERY_S) -> str:
    """Standard output of a command. Raises InstallError that begins with the command's last lines.

    There is no limit on the duration, which depends on the disk: a command and the programs
    that it started are stopped when they read and wrote nothing for `stall_limit_s`.
    """
    words = [str(word) for word in command]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        except FileNotFoundError as exc:
            raise InstallError(f"缺少程序 {words[0]} is missing: apt-get install it, then try again") from exc
        try:
            stalled = not _finished(process, stall_limit_s, look_every_s)
        finally:
            _stop(process)
        said = _text(out)
        if stalled:
            why = f"停滞 no progress for {stall_limit_s:.0f} s"
        elif process.returncode:
            why = _last_lines(said + _text(err)) or f"退出码 exit status {process.returncode}"
        else:
            return said
    raise InstallError(f"{why}\n命令 command: {_shortened(words)}")


def _finished(process: subprocess.Popen[bytes], stall_limit_s: float, look_every_s: float) -> bool:
    """Wait for the end; False when there was no progress for `stall_limit_s`."""
    seen, moved_s = _work(process.pid), time.monotonic()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(look_every_s)
            return True
        now = _work(process.pid)
        if now != seen:
            seen, moved_s = now, time.monotonic()
        elif time.monotonic() - moved_s >= stall_limit_s:
            return False


def _work(session: int) -> dict[str, tuple[str, ...]]:
    """What each program of `session` has done so far, by process id."""
    done = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended during the look
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if fields[_SESSION] == str(session):
                done[folder.name] = _transferred(folder) or tuple(fields[_CPU])
    return done


def _transferred(process: Path) -> tuple[str, ...]:
    """Bytes read and written; () on a kernel without these counters.

    Computing is not progress: a program in an endless loop computes, and installing is reading and writing.
    """
    with contextlib.suppress(OSError):
        lines = (process / "io").read_text(encoding="ascii").splitlines()
        return tuple(line for line in lines if line.startswith(("rchar:", "wchar:")))
    return ()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the command and the programs that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _last_lines(said: str) -> str:
    return "\n".join(said.strip().splitlines()[-_REASON_LINES:])


def _shortened(words: list[str]) -> str:
    line = shlex.join(words)
    return line if len(line) <= _COMMAND_CHARS else f"{line[:_COMMAND_CHARS]} …"
