"""The manifest: the available packs with size, checksum and licence."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from sync.network_address import is_loopback

PACKAGE_DIR = Path(__file__).parents[1]


class PackKind(StrEnum):
    """Purpose of a pack."""

    FACE_DETECTOR = "face-detector"
    MASK_JUDGE = "mask-judge"
    FACE_EMBEDDING = "face-embedding"
    UPPER_FACE = "upper-face"
    LIVENESS = "liveness"


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip file at the pack's address that contains the pack's file as `member`."""

    member: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        _check_size_and_sha256(self.bytes, self.sha256)


@dataclass(frozen=True, slots=True)
class Pack:
    """One pinned file of weights. Raises ValueError for an invalid file name, address, size or checksum."""

    name: str
    file: str
    kind: PackKind
    bytes: int
    sha256: str
    licence: str
    commercial: bool
    source: str
    address: str | None = None
    archive: Archive | None = None
    extra: str | None = None  # the optional part of our package that runs it

    def __post_init__(self) -> None:
        _check_size_and_sha256(self.bytes, self.sha256)
        if Path(self.file).name != self.file:
            raise ValueError(f"pack {self.name}: file must be a bare file name, not {self.file!r}")
        if self.address is not None:
            check_address(self.address)


def read_manifest(path: Path = PACKAGE_DIR / "manifest.toml") -> tuple[Pack, ...]:
    """The packs of the manifest at `path`, in order."""
    with path.open("rb") as file:
        rows = tomllib.load(file)["pack"]
    return tuple(_pack(row) for row in rows)


def check_address(address: str) -> None:
    """Raise ValueError unless `address` is https, or http on this machine."""
    scheme = urlsplit(address).scheme
    if scheme != "https" and not (scheme == "http" and is_this_machine(address)):
        raise ValueError(f"not an https address: {address}")


def is_this_machine(address: str) -> bool:
    """Whether the host of `address` is this machine."""
    return is_loopback(urlsplit(address).hostname or "")


def _pack(row: dict[str, object]) -> Pack:
    archive = row.pop("archive", None)
    kind = PackKind(str(row.pop("kind")))
    return Pack(**row, kind=kind, archive=Archive(**archive) if isinstance(archive, dict) else None)  # type: ignore[arg-type]


def _check_size_and_sha256(size: int, sha256: str) -> None:
    if size <= 0 or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"not a size and sha256 of a file: {size}, {sha256!r}")
