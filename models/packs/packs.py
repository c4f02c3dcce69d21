"""The packs of one box: which are there and whole, adding one by hand, pulling one from its address."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from models.errors import ModelDamaged, ModelMissing, ModelUnknown, PackRefused, PackUnavailable
from models.packs.download import Progress, fetch, file_sum
from models.packs.extra import check_extra
from models.packs.manifest import PACKAGE_DIR, Archive, Pack, read_manifest


class PackState(StrEnum):
    """Whether a pack can be used."""

    READY = "ready"  # there, and as far as it was looked at what the manifest pins
    MISSING = "missing"  # no such file in any folder
    DAMAGED = "damaged"  # there, but of another size or sum


@dataclass(frozen=True, slots=True)
class PackStatus:
    """One pack on this box; `path` is None where it is missing."""

    pack: Pack
    state: PackState
    path: Path | None


class PackShelf:
    """The packs of the manifest as they lie in the package's own folder or in `data_dir`, which may not exist yet."""

    def __init__(
        self, data_dir: Path | None = None, *, packs: Sequence[Pack] | None = None, package_dir: Path = PACKAGE_DIR
    ) -> None:
        self._packs = {pack.name: pack for pack in (read_manifest() if packs is None else packs)}
        self._data_dir = data_dir
        self._folders = [package_dir] if data_dir is None else [package_dir, data_dir]

    def list(self) -> tuple[PackStatus, ...]:
        """Every pack, judged by presence and size alone."""
        return tuple(self._status(pack, whole=False) for pack in self._packs.values())

    def verify(self) -> tuple[PackStatus, ...]:
        """Every pack, with the checksum of those that are there."""
        return tuple(self._status(pack, whole=True) for pack in self._packs.values())

    def check_licence(self, name: str, *, accept_non_commercial: bool) -> None:
        """PackRefused where the pack's licence needs a yes that was not given."""
        _check_licence(self._named(name), accept_non_commercial)

    def check_extra(self, name: str) -> None:
        """ExtraMissing where the pack runs with an extra that is not installed."""
        extra = self._named(name).extra
        if extra is not None:
            check_extra(extra, name)

    def find(self, name: str) -> Path:
        """Where the pack lies, its checksum good; raises ModelMissing, ModelDamaged or ModelUnknown."""
        pack = self._named(name)
        status = self._status(pack, whole=True)
        if status.path is None:
            raise ModelMissing(f"the pack {name} is not on this box: edge-agent models pull {name}, or add {pack.file}")
        if status.state is PackState.DAMAGED:
            raise ModelDamaged(f"{status.path} is not the file pinned for the pack {name}")
        return status.path

    def add(self, file: Path, *, accept_non_commercial: bool = False) -> PackStatus:
        """Copy a file brought by hand to the data folder; its checksum says which pack it is.

        Raises ModelMissing (no such file), ModelUnknown (not a pinned one), PackRefused or PackUnavailable.
        """
        if not file.is_file():
            raise ModelMissing(f"no file {file}")
        found = file_sum(file)
        pack = next((pack for pack in self._packs.values() if pack.sha256 == found), None)
        if pack is None:
            raise ModelUnknown(f"{file} is none of the pinned packs (sha256 {found})")
        _check_licence(pack, accept_non_commercial)
        place = self._place(pack)
        part = _part(place)
        try:
            shutil.copyfile(file, part)
            _settle(part, place)
        except OSError as exc:
            part.unlink(missing_ok=True)
            raise PackUnavailable(f"cannot write {place}: {exc.strerror}") from exc
        return self._status(pack, whole=True)

    def pull(
        self, name: str, *, progress: Progress = lambda _done, _size: None, accept_non_commercial: bool = False
    ) -> PackStatus:
        """Fetch a pack from its address into the data folder, unless it is there and whole.

        Goes on where an earlier pull was cut. Raises ModelUnknown, PackRefused, PackUnavailable (try again) or
        ModelDamaged (another size or sum than pinned; nothing is kept).
        """
        pack = self._named(name)
        _check_licence(pack, accept_non_commercial)
        status = self._status(pack, whole=True)
        if status.state is PackState.READY:
            return status
        if pack.address is None:
            raise PackUnavailable(f"the pack {name} has no address; bring {pack.file} by hand: edge-agent models add")
        place = self._place(pack)
        try:
            if pack.archive is None:
                part = _part(place)
                fetch(pack.address, part, size=pack.bytes, sha256=pack.sha256, progress=progress)
            else:
                part = _pull_member(pack, pack.archive, pack.address, place, progress)
            _settle(part, place)
        except OSError as exc:
            raise PackUnavailable(f"cannot write {place}: {exc.strerror}") from exc
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
            if path.stat().st_size == pack.bytes and (not whole or file_sum(path) == pack.sha256):
                return PackStatus(pack, PackState.READY, path)
            status = PackStatus(pack, PackState.DAMAGED, path)
        return status

    def _place(self, pack: Pack) -> Path:
        if self._data_dir is None:
            raise PackUnavailable("there is no data folder to put a pack into")
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise PackUnavailable(f"cannot make {self._data_dir}: {exc.strerror}") from exc
        return self._data_dir / pack.file


def _check_licence(pack: Pack, accept_non_commercial: bool) -> None:
    if not pack.commercial and not accept_non_commercial:
        raise PackRefused(f"the pack {pack.name} needs an explicit yes to its licence ({pack.licence})")


def _pull_member(pack: Pack, archive: Archive, address: str, place: Path, progress: Progress) -> Path:
    """Fetch the archive and take the pack's file out of it; returns the checked file, the archive is gone."""
    whole = _part(place.with_name(place.name + ".zip"))
    fetch(address, whole, size=archive.bytes, sha256=archive.sha256, progress=progress)
    part = _part(place)
    with zipfile.ZipFile(whole) as box, box.open(archive.member) as inside, part.open("wb") as out:
        shutil.copyfileobj(inside, out)
    whole.unlink()
    if file_sum(part) != pack.sha256:
        part.unlink()
        raise ModelDamaged(f"{address}: its {archive.member} is not the pinned file; nothing was kept")
    return part


def _part(place: Path) -> Path:
    return place.with_name(place.name + ".part")


def _settle(part: Path, place: Path) -> None:
    """Put a finished file in its place so that a power cut leaves the old one or the new one, never a half."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(place)
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
