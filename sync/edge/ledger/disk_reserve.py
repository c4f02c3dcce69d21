"""Disk space held back: on a full disk SQLite cannot even delete, until something else is given up."""

from __future__ import annotations

import os
from pathlib import Path

from sync.storage.atomic_files import replace_whole

SIZE_BYTES = 300_000
_COMFORT = 4  # it is taken back when so many times its size are free


class DiskReserve:
    """A file of no use but its size. Blocking calls of milliseconds: for the thread of the database."""

    def __init__(self, path: Path, size_bytes: int = SIZE_BYTES) -> None:
        self._path = path
        self._size_bytes = size_bytes

    def take(self, *, at_once: bool = False) -> bool:
        """Hold the space if there is plenty, or with `at_once` if there is any; returns whether it is held."""
        if self._path.exists():
            return True
        try:
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize < (1 if at_once else _COMFORT) * self._size_bytes:
                return False
            # Random, because some file systems store zeros as nothing.
            replace_whole(self._path, os.urandom(self._size_bytes))
        except OSError:
            return False
        return True

    def release(self) -> bool:
        """Give the space to whoever needs it; returns whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
