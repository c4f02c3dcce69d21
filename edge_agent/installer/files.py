"""Steps about files: copied, linked, removed."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from edge_agent.installer.step import InstallStep
from sync.storage.atomic_files import replace_link, replace_whole


class CopyFile(InstallStep):
    """Puts `content` at `target`; `keep` leaves one alone that is there already, whatever it says."""

    def __init__(self, zh: str, en: str, content: bytes, target: Path, *, keep: bool = False) -> None:
        super().__init__(zh, en)
        self._content = content
        self._target = target
        self._keep = keep
        self._before: bytes | None = None
        self._made: list[Path] = []

    def is_done(self) -> bool:
        """Whether it is there, and the same where that matters."""
        return self._target.exists() and (self._keep or self._target.read_bytes() == self._content)

    def do(self) -> None:
        """Write it beside its place and move it there: nobody sees half a file."""
        self._before = self._target.read_bytes() if self._target.exists() else None
        self._made = made_folders(self._target.parent)
        write(self._target, self._content)

    def undo(self) -> None:
        """Put back what was there."""
        if self._before is not None:
            write(self._target, self._before)
            return
        self._target.unlink(missing_ok=True)
        remove_folders(self._made)


class SymbolicLink(InstallStep):
    """A symbolic link at `target` that says `points_to`."""

    def __init__(self, zh: str, en: str, target: Path, points_to: str) -> None:
        super().__init__(zh, en)
        self._target = target
        self._points_to = points_to
        self._before: str | None = None
        self._made: list[Path] = []

    def is_done(self) -> bool:
        """Whether it says that."""
        return self._target.is_symlink() and str(self._target.readlink()) == self._points_to

    def do(self) -> None:
        """Make it, in the place of another link."""
        self._before = str(self._target.readlink()) if self._target.is_symlink() else None
        self._made = made_folders(self._target.parent)
        replace_link(self._target, self._points_to)

    def undo(self) -> None:
        """Put back the link that was there."""
        if self._before is not None:
            replace_link(self._target, self._before)
            return
        if self._target.is_symlink():
            self._target.unlink()
        remove_folders(self._made)


class Remove(InstallStep):
    """Takes a file, a link or a folder with all in it away."""

    def __init__(self, zh: str, en: str, target: Path) -> None:
        super().__init__(zh, en)
        self._target = target
        self._aside = target.with_name(f".{target.name}.removed")

    def is_done(self) -> bool:
        """Whether it is gone."""
        return not os.path.lexists(self._target)

    def do(self) -> None:
        """Put it aside under another name."""
        self._target.rename(self._aside)

    def undo(self) -> None:
        """Give it its name back."""
        if os.path.lexists(self._aside):
            self._aside.rename(self._target)

    def settle(self) -> None:
        """Remove it for good."""
        if self._aside.is_dir() and not self._aside.is_symlink():
            shutil.rmtree(self._aside)
        else:
            self._aside.unlink()


def write(path: Path, content: bytes) -> None:
    """Write a file whole; one that replaces another keeps its owner and mode, a new one is readable by all."""
    if path.exists():
        write_as(path, content, path.stat())
    else:
        replace_whole(path, content, 0o644)


def write_as(path: Path, content: bytes, was: os.stat_result) -> None:
    """Write a file whole, with the mode and the owner that it had."""
    replace_whole(path, content, stat.S_IMODE(was.st_mode), (was.st_uid, was.st_gid))


def made_folders(folder: Path) -> list[Path]:
    """Make `folder`; returns those that were not there, the outermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()][::-1]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def remove_folders(folders: list[Path]) -> None:
    """Remove folders that were made, as far as nothing else came into them."""
    for folder in reversed(folders):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
