"""Files that others must not read, or must never see half written."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """A new file, on the disk, that had this `mode` from its first moment on. Raises FileExistsError, OSError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb", buffering=0) as file:
        try:
            file.write(content)
            os.fsync(file.fileno())
        except OSError as exc:
            path.unlink()
            raise OSError(exc.errno, exc.strerror, str(path)) from exc


def check_absent(*paths: Path) -> None:
    """Raise FileExistsError when one of `paths` is there: what is in use is never replaced."""
    for path in paths:
        if path.exists():
            raise FileExistsError(f"{path} is there already")


def write_all_new(*files: tuple[Path, bytes, int]) -> None:
    """As `write_new` for each path, content and mode: all of them, or none. Raises FileExistsError, OSError."""
    written: list[Path] = []
    try:
        for path, content, mode in files:
            write_new(path, content, mode)
            written.append(path)
    except OSError:
        for path in written:
            path.unlink()
        raise


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold `path` against every other process while the block lasts. Raises BlockingIOError, OSError."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def replace_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """`path` holds `content` or what it held before, whatever happens in between."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    write_new(beside, content, mode)
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """What was renamed in `folder` stays renamed after a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
