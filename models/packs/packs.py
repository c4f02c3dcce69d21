"""The packs of one box: their state, adding a file manually, downloading from the pinned address."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from models.errors import ModelDamaged, ModelMissing, ModelUnknown, PackRefused, PackUnavailable
from models.packs.download import Progress, fetch, file_sha256
from models.packs.extra import check_extra
from models.packs.manifest import PACKAGE_DIR, Archive, Pack, read_manifest


class PackState(StrEnum):
    """Whether a pack can be used."""

    READY = "ready"  # present, and matches the manifest as far as it was checked
    MISSING = "missing"  # not present in any folder
    DAMAGED = "damaged"  # present, but with a wrong size or checksum


@dataclass(frozen=True, slots=True)
class PackStatus:
    """One pack on this box; `path` is None where it is missing."""

    pack: Pack
    state: PackState
    path: Path | None


class PackStore:
    """The packs of the manifest in the package's own folder and in `data_dir`, which may not exist yet."""

    def __init__(
        self, data_dir: Path | None = None, *, packs: Sequence[Pack] | None = None, package_dir: Path = PACKAGE_DIR
    ) -> None:
        self._packs = {pack.name: pack for pack in (read_manifest() if packs is None else packs)}
        self._data_dir = data_dir
        self._folders = [package_dir] if data_dir is None else [package_dir, data_dir]

    def list(self) -> tuple[PackStatus, ...]:
        """Every pack, checked for presence and size only."""
        return tuple(self._status(pack, whole=False) for pack in self._packs.values())

    def verify(self) -> tuple[PackStatus, ...]:
        """Every pack, with the checksums of the files present."""
        return tuple(self._status(pack, whole=True) for pack in self._packs.values())

    def check_licence(self, name: str, *, accept_non_commercial: bool) -> None:
        """Raise PackRefused for a non-commercial pack unless it is accepted."""
        _check_licence(self._named(name), accept_non_commercial)

    def check_extra(self, name: str) -> None:
        """ExtraMissing where the pack runs with an extra that is not installed."""
        extra = self._named(name).extra
        if extra is not None:
            check_extra(extra, name)

    def find(self, name: str) -> Path:
        """Path of the pack, with its checksum verified. Raises ModelMissing, ModelDamaged or ModelUnknown."""
        pack = self._named(name)
        status = self._status(pack, whole=True)
        if status.path is None:
            accepting = "" if pack.commercial else " --accept-non-commercial"
            raise ModelMissing(
                f"the pack {name} is not on this box: edge-agent models pull {name}{accepting}, or add {pack.file}"
            )
        if status.state is PackState.DAMAGED:
            raise ModelDamaged(f"{status.path} does not match the checksum pinned for the pack {name}")
        return status.path

    def add(self, file: Path, *, accept_non_commercial: bool = False) -> PackStatus:
        """Copy a local file to the data folder; its checksum identifies the pack.

        Raises ModelMissing (no such file), ModelUnknown (not a pinned one), PackRefused or PackUnavailable.
        """
        if not file.is_file():
            raise ModelMissing(f"no file {file}")
        found = file_sha256(file)
        pack = next((pack for pack in self._packs.values() if pack.sha256 == found), None)
        if pack is None:
            raise ModelUnknown(f"{file} is not one of the pinned packs (sha256 {found})")
        _check_licence(pack, accept_non_commercial)
        target = self._target(pack)
        part = _part(target)
        try:
            shutil.copyfile(file, part)
            _move_into_place(part, target)
        except OSError as exc:
            part.unlink(missing_ok=True)
            raise PackUnavailable(f"cannot write {target}: {exc.strerror}") from exc
        return self._status(pack, whole=True)

    def pull(
        self, name: str, *, progress: Progress = lambda _done, _size: None, accept_non_commercial: bool = False
    ) -> PackStatus:
        """Download a pack into the data folder, unless it is present with the right checksum.

        Resumes an interrupted download. Raises ModelUnknown, PackRefused, PackUnavailable (try again) or ModelDamaged
        (size or checksum differ from the manifest; the download is discarded).
        """
        pack = self._named(name)
        _check_licence(pack, accept_non_commercial)
        status = self._status(pack, whole=True)
        if status.state is PackState.READY:
            return status
        if pack.address is None:
            raise PackUnavailable(f"the pack {name} has no address; add {pack.file} manually: edge-agent models add")
        target = self._target(pack)
        try:
            if pack.archive is None:
                part = _part(target)
                fetch(pack.address, part, size=pack.bytes, sha256=pack.sha256, progress=progress)
            else:
                part = _pull_member(pack, pack.archive, pack.address, target, progress)
            _move_into_place(part, target)
        except OSError as exc:
            raise PackUnavailable(f"cannot write {target}: {exc.strerror}") from exc
        return self._status(pack, whole=True)

    def _named(self, name: str) -> Pack:
        if name not in self._packs:
            raise ModelUnknown(f"no pack '{name}'; there are {', '.join(self._packs)}")
        return self._packs[name]

    def _status(self, pack: Pack, *, whole: bool) -> PackStatus:
        status = PackStatus(pack, PackState.MISSING, None)
        for path in (folder / pack.file for folder in self._folders):
            if not path.is_file():
                continue
            if path.stat().st_size == pack.bytes and (not whole or file_sha256(path) == pack.sha256):
                return PackStatus(pack, PackState.READY, path)
            status = PackStatus(pack, PackState.DAMAGED, path)
        return status

    def _target(self, pack: Pack) -> Path:
        if self._data_dir is None:
            raise PackUnavailable("there is no data folder for packs")
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise PackUnavailable(f"cannot create {self._data_dir}: {exc.strerror}") from exc
        return self._data_dir / pack.file


def _check_licence(pack: Pack, accept_non_commercial: bool) -> None:
    if not pack.commercial and not accept_non_commercial:
        raise PackRefused(f"the licence of the pack {pack.name} must be accepted explicitly ({pack.licence})")


def _pull_member(pack: Pack, archive: Archive, address: str, target: Path, progress: Progress) -> Path:
    """Download the archive, extract the pack's file and delete the archive; returns the verified file."""
    whole = _part(target.with_name(target.name + ".zip"))
    fetch(address, whole, size=archive.bytes, sha256=archive.sha256, progress=progress)
    part = _part(target)
    with zipfile.ZipFile(whole) as box, box.open(archive.member) as inside, part.open("wb") as out:
        shutil.copyfileobj(inside, out)
    whole.unlink()
    if file_sha256(part) != pack.sha256:
        part.unlink()
        raise ModelDamaged(f"{address}: {archive.member} does not match the pinned checksum; discarded")
    return part


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _move_into_place(part: Path, target: Path) -> None:
    """Replace `target` by `part` atomically, also across a power cut."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
