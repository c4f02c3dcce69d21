"""Steps that copy, link and remove files."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from edge_agent.installer.step import InstallStep
from sync.storage.atomic_files import replace_link, replace_whole


class CopyFile(InstallStep):
    """Writes `content` to `target`; with `keep` an existing file is not changed."""

    def __init__(self, zh: str, en: str, content: bytes, target: Path, *, keep: bool = False) -> None:
        super().__init__(zh, en)
        self._content = content
        self._target = target
        self._keep = keep
        self._before: bytes | None = None
        self._made: list[Path] = []

    def is_done(self) -> bool:
        """Whether the file exists and, without `keep`, has this content."""
        return self._target.exists() and (self._keep or self._target.read_bytes() == self._content)

    def do(self) -> None:
        """Replace the file atomically."""
        self._before = self._target.read_bytes() if self._target.exists() else None
        self._made = made_folders(self._target.parent)
        write(self._target, self._content)

    def undo(self) -> None:
        """Restore the previous file, or remove the new one."""
        if self._before is not None:
            write(self._target, self._before)
            return
        self._target.unlink(missing_ok=True)
        remove_folders(self._made)


class SymbolicLink(InstallStep):
    """A symbolic link at `target` to `points_to`."""

    def __init__(self, zh: str, en: str, target: Path, points_to: str) -> None:
        super().__init__(zh, en)
        self._target = target
        self._points_to = points_to
        self._before: str | None = None
        self._made: list[Path] = []

    def is_done(self) -> bool:
        """Whether the link exists and points there."""
        return self._target.is_symlink() and str(self._target.readlink()) == self._points_to

    def do(self) -> None:
        """Create the link, replacing another one."""
        self._before = str(self._target.readlink()) if self._target.is_symlink() else None
        self._made = made_folders(self._target.parent)
        replace_link(self._target, self._points_to)

    def undo(self) -> None:
        """Restore the previous link, or remove the new one."""
        if self._before is not None:
            replace_link(self._target, self._before)
            return
        if self._target.is_symlink():
            self._target.unlink()
        remove_folders(self._made)


class Remove(InstallStep):
    """Removes a file, a link, or a folder with its content."""

    def __init__(self, zh: str, en: str, target: Path) -> None:
        super().__init__(zh, en)
        self._target = target
        self._aside = target.with_name(f".{target.name}.removed")

    def is_done(self) -> bool:
        """Whether it does not exist."""
        return not os.path.lexists(self._target)

    def do(self) -> None:
        """Rename it, so that it can be restored."""
        self._target.rename(self._aside)

    def undo(self) -> None:
        """Restore its name."""
        if os.path.lexists(self._aside):
            self._aside.rename(self._target)

    def settle(self) -> None:
        """Delete it."""
        if self._aside.is_dir() and not self._aside.is_symlink():
            shutil.rmtree(self._aside)
        else:
            self._aside.unlink()


def write(path: Path, content: bytes) -> None:
    """Write a file atomically; a replaced file keeps its owner and mode, a new one has mode 0644."""
    if path.exists():
        write_as(path, content, path.stat())
    else:
        replace_whole(path, content, 0o644)


def write_as(path: Path, content: bytes, was: os.stat_result) -> None:
    """Write a file atomically with the mode and owner of `was`."""
    replace_whole(path, content, stat.S_IMODE(was.st_mode), (was.st_uid, was.st_gid))


def made_folders(folder: Path) -> list[Path]:
    """Create `folder` and its parents; returns the new folders, outermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()][::-1]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def remove_folders(folders: list[Path]) -> None:
    """Remove those of the created folders that are empty."""
    for folder in reversed(folders):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
