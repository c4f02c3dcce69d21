"""A small file that is whole at any moment, with the one before it beside it."""

from __future__ import annotations

import os
from pathlib import Path


def keep(path: Path, data: bytes) -> Path:
    """Put `data` at `path`, on the disk before anything of it shows; what was there becomes `NAME.previous`.

    Makes the folder where it is not there; the file belongs to whom the folder belongs, so that what root wrote for the
    agent can be read by the agent. Raises OSError; `path` is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        _put(previous(path), path.read_bytes())
    return _put(path, data)


def previous(path: Path) -> Path:
    """Where the file that was at `path` before is kept."""
    return path.with_name(f"{path.name}.previous")


def _put(path: Path, data: bytes) -> Path:
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("wb") as file:
        if os.geteuid() == 0:
            folder = path.parent.stat()
            os.fchown(file.fileno(), folder.st_uid, folder.st_gid)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return fresh.replace(path)
