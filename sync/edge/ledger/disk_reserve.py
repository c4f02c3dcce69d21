"""Reserved disk space: on a full disk SQLite cannot even delete rows until other space is released."""

from __future__ import annotations

import os
from pathlib import Path

from sync.storage.atomic_files import replace_whole

SIZE_BYTES = 300_000
_FREE_FACTOR = 4  # the reserve is taken when this many times its size are free


class DiskReserve:
    """A file that only occupies space. Calls block for milliseconds; call them on the thread of the database."""

    def __init__(self, path: Path, size_bytes: int = SIZE_BYTES) -> None:
        self._path = path
        self._size_bytes = size_bytes

    def take(self, *, at_once: bool = False) -> bool:
        """Reserve the space if plenty is free (`at_once`: if just enough is free); return whether it is reserved."""
        if self._path.exists():
            return True
        try:
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize < (1 if at_once else _FREE_FACTOR) * self._size_bytes:
                return False
            # Random, because some file systems store zeros without using space.
            replace_whole(self._path, os.urandom(self._size_bytes))
        except OSError:
            return False
        return True

    def release(self) -> bool:
        """Release the space; return whether it was reserved."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
