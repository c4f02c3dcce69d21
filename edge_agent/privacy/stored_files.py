"""The files and log of this box that may hold personal data."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from edge_agent.runtime.service_unit import AGENT_UNIT

_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - read, not written


def stored_files(config: Path, data_dir: Path, temporary: Iterable[Path] = _TEMPORARY) -> Iterator[Path]:
    """All files of the data and settings folders, and the service's files in the `temporary` folders.

    Raises OSError for a folder that cannot be listed.
    """
    yield from files_below([data_dir, config.resolve().parent])
    owner = data_dir.stat().st_uid
    for folder in temporary:
        own = [
            path
            for path in sorted(folder.iterdir())
            if not path.is_symlink() and (path.stat().st_uid == owner or AGENT_UNIT in path.name)
        ]
        yield from (path for path in own if path.is_file())
        yield from files_below(path for path in own if path.is_dir())


def files_below(folders: Iterable[Path]) -> Iterator[Path]:
    """Every regular file below `folders`, each inode once; symbolic links are not followed."""
    seen: set[tuple[int, int]] = set()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            status = path.stat()
            if (inode := (status.st_dev, status.st_ino)) not in seen:
                seen.add(inode)
                yield path


def journal_text(unit: str, lines: int | None = None) -> bytes:
    """The messages of `unit` in the systemd journal, oldest first, the last `lines` of them; b"" without a journal."""
    command = ["journalctl", "--unit", unit, "--no-pager", "--quiet", "--output=cat"]
    try:
        return subprocess.run(
            [*command, *([] if lines is None else [f"--lines={lines}"])], capture_output=True, check=True, timeout=60
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return b""
