"""Atomic writes: a file is complete or unchanged, even with concurrent readers, a full disk or a power cut.

Standard library only: the installer uses this module before any package is installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

Owner = tuple[int, int]  # user id and group id


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Create a file and sync it to the disk; `mode` is set before the content is written.

    Raises FileExistsError, OSError; no new file remains then.
    """
    _write(path, content, mode, None)
    sync_folder(path.parent)


def check_absent(*paths: Path) -> None:
    """Raise FileExistsError if one of `paths` exists, so that files in use are never replaced."""
    for path in paths:
        if path.exists():
            raise FileExistsError(f"{path} already exists")


def write_all_new(*files: tuple[Path, bytes, int]) -> None:
    """`write_new` for each path, content and mode: either all files or none. Raises FileExistsError, OSError."""
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
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` within the block. Raises BlockingIOError if it is locked, OSError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def replace_whole(path: Path, content: bytes, mode: int = 0o600, owner: Owner | None = None) -> None:
    """Replace `path` atomically with `content` and sync it to the disk.

    `owner` None: the current user. One writer per file. Raises OSError; no temporary file remains then.
    """
    _replace(path, lambda temporary: _write(temporary, content, mode, owner))


def read_unlinked(path: Path) -> bytes:
    """The content of the file at `path`. Raises OSError, also for a symbolic link."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        return file.read()


def replace_link(path: Path, points_to: str) -> None:
    """`replace_whole` for a symbolic link."""
    _replace(path, lambda temporary: temporary.symlink_to(points_to))


def sync_folder(folder: Path) -> None:
    """Sync `folder`, so that files created or renamed in it survive a power cut. Raises OSError."""
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
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)  # left by a power cut
    try:
        make(temporary)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
