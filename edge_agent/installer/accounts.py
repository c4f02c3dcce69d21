"""Steps for service users, folders and permissions, declared in systemd/*.conf and applied by systemd's tools."""

from __future__ import annotations

import os
from pathlib import Path

from edge_agent.installer.command import run
from edge_agent.installer.files import made_folders, remove_folders, write_as
from edge_agent.installer.step import InstallStep

_DATABASES = ("passwd", "group", "shadow", "gshadow")
_TOUCHED = (*_DATABASES, *(f"{name}-" for name in _DATABASES), ".pwd.lock")


class Accounts(InstallStep):
    """The users and groups of a sysusers.d file."""

    def __init__(self, zh: str, en: str, declared: Path, root: Path) -> None:
        super().__init__(zh, en)
        self._declared = declared
        self._root = root
        self._before: dict[Path, tuple[bytes, os.stat_result] | None] = {}

    def is_done(self) -> bool:
        """Whether every user exists and is in its groups."""
        if not self._declared.exists():
            return False
        users, groups = ids(self._root, "passwd"), members(self._root)
        words = [line.split() for line in self._declared.read_text(encoding="utf-8").splitlines()]
        return all(line[1] in users for line in words if line[:1] == ["u"]) and all(
            line[1] in groups.get(line[2], ()) for line in words if line[:1] == ["m"]
        )

    def do(self) -> None:
        """Create the missing users with systemd-sysusers."""
        for name in _TOUCHED:
            path = self._root / "etc" / name
            self._before[path] = (path.read_bytes(), path.stat()) if path.exists() else None
        run("systemd-sysusers", f"--root={self._root}", self._declared)

    def undo(self) -> None:
        """Restore the user databases."""
        for path, before in self._before.items():
            if before is None:
                path.unlink(missing_ok=True)
            elif path.read_bytes() != before[0]:
                write_as(path, *before)


class Folders(InstallStep):
    """The folders, owners and modes of a tmpfiles.d file."""

    def __init__(self, zh: str, en: str, declared: Path, root: Path) -> None:
        super().__init__(zh, en)
        self._declared = declared
        self._root = root
        self._before: list[tuple[Path, os.stat_result | None]] = []
        self._made: list[Path] = []

    def is_done(self) -> bool:
        """Whether every path has the declared owner and mode."""
        if not self._declared.exists():
            return False
        users, groups = ids(self._root, "passwd"), ids(self._root, "group")
        for kind, path, mode, user, group in self._lines():
            if not path.exists():
                if kind == "d":
                    return False
                continue
            found = path.stat()
            if (found.st_mode & 0o7777, found.st_uid, found.st_gid) != (mode, users.get(user), groups.get(group)):
                return False
        return True

    def do(self) -> None:
        """Create them with systemd-tmpfiles."""
        self._before = [(path, path.stat() if path.exists() else None) for _, path, *_ in self._lines()]
        for path, _ in self._before:
            self._made += made_folders(path.parent)
        run("systemd-tmpfiles", f"--root={self._root}", "--create", self._declared)

    def undo(self) -> None:
        """Remove new folders, and restore owners and modes."""
        for path, before in reversed(self._before):
            if before is None:
                remove_folders([path])
            elif path.exists():
                os.chown(path, before.st_uid, before.st_gid)
                path.chmod(before.st_mode & 0o7777)
        remove_folders(self._made)

    def _lines(self) -> list[tuple[str, Path, int, str, str]]:
        words = [line.split() for line in self._declared.read_text(encoding="utf-8").splitlines()]
        return [
            (line[0], self._root / line[1].lstrip("/"), int(line[2], 8), line[3], line[4])
            for line in words
            if line and not line[0].startswith("#")
        ]


def _entries(root: Path, name: str) -> list[list[str]]:
    path = root / "etc" / name
    return [line.split(":") for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def ids(root: Path, name: str) -> dict[str, int]:
    """The id of every user (`passwd`) or group (`group`)."""
    return {entry[0]: int(entry[2]) for entry in _entries(root, name) if len(entry) > 2}


def members(root: Path) -> dict[str, list[str]]:
    """The members of every group."""
    return {entry[0]: entry[3].split(",") for entry in _entries(root, "group") if len(entry) > 3}
