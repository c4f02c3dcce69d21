"""The files and log of this box that may hold personal data."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edge_agent.runtime.service_unit import AGENT_UNIT

TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - read, not written
UNFOLLOWED = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # for a name that became a link or a pipe since it was listed


Source = Path | int
"""Where a file is read: its path, or a descriptor that is open."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a scan by the agent's user cannot open itself: files of the settings, folders of a private /tmp."""

    files: tuple[tuple[Source, Path], ...]
    folders: tuple[tuple[int, Path], ...]


@contextmanager
def opened_for_agent(config: Path, temporary: Iterable[Path] = TEMPORARY) -> Iterator[Opened]:
    """The files in the folder of the settings, and the service's private folders below `temporary`, open.

    Call it with root's rights: only root decides what these names are. No link is followed. A file that cannot be
    opened has its path as its source. Raises OSError for a folder that cannot be listed.
    """
    with ExitStack() as handles:

        def handle(path: Path, flags: int = 0) -> int | None:
            with suppress(PermissionError, FileNotFoundError):
                descriptor = os.open(path, UNFOLLOWED | flags)
                handles.callback(os.close, descriptor)
                return descriptor
            return None

        files = [(handle(path), path) for path in files_below([config.resolve().parent])]
        private = [path / "tmp" for folder in temporary for path in _entries(folder) if AGENT_UNIT in path.name]
        folders = [(handle(path, os.O_DIRECTORY), path) for path in private]
        yield Opened(
            tuple((path if descriptor is None else descriptor, path) for descriptor, path in files),
            tuple((descriptor, path) for descriptor, path in folders if descriptor is not None),
        )


def stored_files(
    data_dir: Path, opened: Opened, temporary: Iterable[Path] = TEMPORARY
) -> Iterator[tuple[Source, Path]]:
    """All files of the data folder, those `opened`, and those of its owner in `temporary` folders; with their paths.

    Raises OSError for a folder that cannot be listed.
    """
    yield from ((path, path) for path in files_below([data_dir]))
    yield from opened.files
    for descriptor, folder in opened.folders:
        here = Path(f"/proc/self/fd/{descriptor}")
        yield from ((path, folder / path.relative_to(here)) for path in files_below([here]))
    owner = data_dir.stat().st_uid
    for folder in temporary:
        own = [path for path in _entries(folder) if path.stat().st_uid == owner and AGENT_UNIT not in path.name]
        yield from ((path, path) for path in own if path.is_file())
        yield from ((path, path) for path in files_below(path for path in own if path.is_dir()))


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


def _entries(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if not path.is_symlink()]
