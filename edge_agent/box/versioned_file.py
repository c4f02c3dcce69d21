"""A file that people make, by a calibration or by their answers, with the one before it beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from config.errors import SettingsError
from sync.errors import DamagedFile
from sync.storage.atomic_files import Owner, read_unlinked, replace_whole
from sync.storage.checked_json import decode_checked, encode_checked

T = TypeVar("T", bound=msgspec.Struct)

_MODE = 0o640  # root and the agent, which is its owner or in its group


def keep(path: Path, data: bytes) -> Path:
    """Put `data` at `path`, whole and on the disk; what was there becomes `NAME.previous`.

    Makes the folder where it is not there; the file gets the owner and group of the folder, so that the agent can read
    what root wrote in a folder of root's. Raises OSError, also where a symbolic link is at `path`, which is then as it
    was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = _owner(path.parent)
    if os.path.lexists(path):
        replace_whole(previous(path), read_unlinked(path), _MODE, owner)
    replace_whole(path, data, _MODE, owner)
    return path


def keep_value(path: Path, value: msgspec.Struct) -> Path:
    """As `keep`, for a value, as JSON that a person can read, with a checksum."""
    return keep(path, encode_checked(value, indent=2))


def kept_value(path: Path, kind: type[T], remedy: str) -> T | None:
    """The value at `path`, None where there is none. Raises SettingsError, which ends in what to do: `remedy`."""
    try:
        return decode_checked(path.read_bytes(), kind)
    except FileNotFoundError:
        return None
    except (OSError, DamagedFile) as exc:
        raise SettingsError(f"{path}: {exc}; {remedy}") from exc


def previous(path: Path) -> Path:
    """Where the file that was at `path` before is kept."""
    return path.with_name(f"{path.name}.previous")


def _owner(folder: Path) -> Owner | None:
    found = folder.stat()
    return (found.st_uid, found.st_gid) if os.geteuid() == 0 else None
