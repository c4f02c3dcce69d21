"""Atomic writes: power cuts, failures, permissions."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sync.storage.atomic_files import replace_link, replace_whole, write_new

OLD, NEW = b"the old one", b"the new one"
NOTHING = b""


class WorstDisk:
    """Collects what a power cut before or after each `fsync` could leave of one file.

    A folder may lose all changes of names since its last sync, or none; a file that changed since its last sync may be
    empty.
    """

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: set[bytes | None] = set()  # by any of the cuts; None: no file of that name
        self._path = path
        self._synced = {file.lstat().st_ino: file.read_bytes() for file in path.parent.iterdir()}
        self._kept = self._name()  # the name as the folder was last synced
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._sync)

    def cut(self) -> set[bytes | None]:
        """The possible contents after a power cut now."""
        left: set[bytes | None] = set()
        for inode in {self._kept, self._name()}:
            left.add(None if inode is None else self._synced.get(inode, NOTHING))
        if self._path.exists() and self._path.read_bytes() != self._synced.get(self._path.stat().st_ino):
            left.add(NOTHING)
        return left

    def _sync(self, handle: int) -> None:
        self.left |= self.cut()
        self._fsync(handle)
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            self._kept = self._name()
        else:
            self._synced[os.fstat(handle).st_ino] = Path(f"/proc/self/fd/{handle}").read_bytes()
        self.left |= self.cut()

    def _name(self) -> int | None:
        return self._path.stat().st_ino if self._path.exists() else None


def test_a_power_cut_leaves_the_old_or_the_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "policy.json"
    path.write_bytes(OLD)
    disk = WorstDisk(path, monkeypatch)
    replace_whole(path, NEW)
    assert disk.left == {OLD, NEW}
    assert disk.cut() == {NEW}


@pytest.mark.parametrize("write", [replace_whole, write_new])
def test_a_new_file_is_complete_and_durable_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, bytes], None]
) -> None:
    disk = WorstDisk(tmp_path / "policy.json", monkeypatch)
    write(tmp_path / "policy.json", NEW)
    assert disk.cut() == {NEW}


def test_a_leftover_temporary_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".policy.json.new").write_bytes(b"half of")
    replace_whole(tmp_path / "policy.json", NEW)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("policy.json", NEW)]


def test_a_failure_leaves_the_old_file_and_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "policy.json").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_whole(tmp_path / "policy.json", NEW)
    assert [file.name for file in tmp_path.iterdir()] == ["policy.json"]


def test_a_full_disk_leaves_the_old_file_and_no_temporary_file(small_disk: Path) -> None:
    path = small_disk / "policy.json"
    replace_whole(path, OLD)
    with pytest.raises(OSError, match="No space left"):
        replace_whole(path, bytes(3_000_000))
    assert [(file.name, file.read_bytes()) for file in small_disk.iterdir()] == [("policy.json", OLD)]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path, mode: int) -> None:
    mask = os.umask(0o077)
    try:
        replace_whole(tmp_path / "certificate.pem", NEW, mode)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "certificate.pem").stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_is_set(tmp_path: Path) -> None:
    replace_whole(tmp_path / "shadow", NEW, 0o640, (65534, 65533))
    status = (tmp_path / "shadow").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (65534, 65533, 0o640)


def test_write_new_never_replaces_a_file(tmp_path: Path) -> None:
    write_new(tmp_path / "key", OLD)
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "key", NEW)
    assert (tmp_path / "key").read_bytes() == OLD


def test_a_link_is_replaced_despite_a_leftover(tmp_path: Path) -> None:
    link = tmp_path / "current"
    for target in ("generation-1", "generation-2"):
        (tmp_path / ".current.new").symlink_to("generation-0")
        replace_link(link, target)
        assert str(link.readlink()) == target
    assert [file.name for file in tmp_path.iterdir()] == ["current"]
