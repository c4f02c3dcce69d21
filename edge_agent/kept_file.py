"""A file that people make, by a calibration or by their answers, with the one before it beside it."""

from __future__ import annotations

import os
from pathlib import Path

from sync.files import Owner, replace_whole

_MODE = 0o640  # root and the agent, which is its owner or in its group


def keep(path: Path, data: bytes) -> Path:
    """Put `data` at `path`, whole and on the disk; what was there becomes `NAME.previous`.

    Makes the folder where it is not there; the file belongs to whom the folder belongs, so that what root wrote for the
    agent can be read by the agent. Raises OSError; `path` is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = _owner_of(path.parent)
    if path.exists():
        replace_whole(previous(path), path.read_bytes(), _MODE, owner)
    replace_whole(path, data, _MODE, owner)
    return path


def previous(path: Path) -> Path:
    """Where the file that was at `path` before is kept."""
    return path.with_name(f"{path.name}.previous")


def _owner_of(folder: Path) -> Owner | None:
    found = folder.stat()
    return (found.st_uid, found.st_gid) if os.geteuid() == 0 else None
