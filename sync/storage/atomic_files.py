"""Files that nobody sees half written, whatever happens meanwhile: a reader, a full disk, a power cut.

Standard library only: the installer uses it before anything else is there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

Owner = tuple[int, int]  # numbers of user and group


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """A new file, on the disk, that had this `mode` before anything stood in it.

    Raises FileExistsError, OSError; then nothing new is there.
    """
    _write(path, content, mode, None)
    sync_folder(path.parent)


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


def replace_whole(path: Path, content: bytes, mode: int = 0o600, owner: Owner | None = None) -> None:
    """At any moment `path` holds `content` or what it held before, and `content` for good when this returns.

    `owner` None: whoever writes. One writer a file. Raises OSError; then nothing is left beside `path`.
    """
    _replace(path, lambda beside: _write(beside, content, mode, owner))


def replace_link(path: Path, points_to: str) -> None:
    """As `replace_whole`, for a symbolic link."""
    _replace(path, lambda beside: beside.symlink_to(points_to))


def sync_folder(folder: Path) -> None:
    """What was made or renamed in `folder` stays so after a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(path: Path, content: bytes, mode: int, owner: Owner | None) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        path.unlink()
        raise OSError(exc.errno, exc.strerror, str(path)) from exc


def _replace(path: Path, make: Callable[[Path], None]) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)  # one that a power cut left
    try:
        make(beside)
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
