"""Files that were set aside because they were damaged or replaced: `NAME.WHY-TIME`, with their side files."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from sync.storage.file_head import HEAD_SUFFIX

DAMAGED = "damaged"
COPY_SUFFIX = "-copy"  # of a recovery
SIDE_FILES = ("", "-wal", "-shm", "-journal", HEAD_SUFFIX, COPY_SUFFIX)


def rename_aside(path: Path, why: str) -> Path:
    """Rename `path` and its side files; return the new path, which exists even if `path` did not. Raises OSError."""
    aside = path.with_name(f"{path.name}.{why}-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S%fZ')}")
    for suffix in SIDE_FILES:
        side = path.with_name(path.name + suffix)
        if side.exists():
            side.rename(aside.with_name(aside.name + suffix))
    aside.touch(0o600)
    return aside


def aside_files(path: Path, why: str = DAMAGED) -> list[Path]:
    """Every file that was set aside for `path`, oldest first, without its side files."""
    found = path.parent.glob(f"{path.name}.{why}-*")
    return sorted(each for each in found if not each.name.endswith(tuple(filter(None, SIDE_FILES))))


def is_older(path: Path, age_s: float) -> bool:
    """Whether `path` exists and was last written at least `age_s` ago."""
    return path.exists() and time.time() - path.stat().st_mtime >= age_s


def drop_aside(path: Path) -> None:
    """Delete a file that was set aside and its side files. Raises OSError."""
    for suffix in SIDE_FILES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def drop_older(path: Path, kept_s: float) -> int:
    """Delete the damaged files of `path` that were last written at least `kept_s` ago; return how many."""
    old = [each for each in aside_files(path) if is_older(each, kept_s)]
    for each in old:
        drop_aside(each)
    return len(old)
