"""The few settings that the platform may change remotely; they apply from the next start."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from config.errors import SettingsError
from config.settings import Settings
from sync.errors import DamagedFile
from sync.storage.atomic_files import replace_whole
from sync.storage.checked_json import decode_checked, encode_checked

log = logging.getLogger(__name__)

FILE = "remote-settings.json"
OLD_FILE = "wanted.json"  # its name until 0.1; read where the new one is not there, removed by the next change

# What cannot cut the box off, or change what is wired to it; None: every key of the section.
_ALLOWED: dict[str, set[str] | None] = {
    "arrival": None,
    "announcer": None,
    "speaker": {"language"},
    "directory": {"query_budget_ms"},
    "vision": {"active_fps", "idle_fps", "min_score"},
    "retention": None,
}
RemoteSettings = dict[str, dict[str, Any]]


def remote_settings_path(settings: Settings) -> Path:
    """The file of the remote settings: a box from before 0.2 has it under its old name."""
    data_dir = Path(settings.box.data_dir)
    old, new = data_dir / OLD_FILE, data_dir / FILE
    return old if old.exists() and not new.exists() else new


def with_remote_settings(settings: Settings, remote: RemoteSettings) -> Settings:
    """`settings` with `remote` applied. Raises SettingsError naming the first that cannot be changed remotely."""
    changed: dict[str, Any] = {}
    for section, changes in remote.items():
        if section not in _ALLOWED:
            raise SettingsError(f"[{section}] cannot be changed remotely")
        allowed = _ALLOWED[section]
        for key in changes:
            if allowed is not None and key not in allowed:
                raise SettingsError(f"[{section}] {key} cannot be changed remotely")
        local = getattr(settings, section)
        try:
            changed[section] = msgspec.convert({**msgspec.to_builtins(local), **changes}, type(local), strict=True)
        except msgspec.ValidationError as exc:
            raise SettingsError(f"[{section}]: {exc}") from exc
    return msgspec.structs.replace(settings, **changed)


def apply_remote_settings(settings: Settings) -> Settings:
    """`settings` with the saved remote settings; ones that do not fit any more are ignored with a warning."""
    path = remote_settings_path(settings)
    try:
        return with_remote_settings(settings, decode_checked(path.read_bytes(), RemoteSettings))
    except FileNotFoundError:
        return settings
    except (OSError, DamagedFile, SettingsError) as exc:
        log.warning("%s: ignored; using local settings: %s", path, exc)
        return settings


def save_remote_settings(
    settings: Settings, remote: RemoteSettings, check_change: Callable[[Settings, Settings], None]
) -> bool:
    """Save `remote` for the next start; returns whether it changes anything.

    Raises SettingsError, also the one of `check_change`, which gets the settings without and with `remote`; OSError.
    """
    check_change(settings, with_remote_settings(settings, remote))
    path = remote_settings_path(settings)
    if remote == _saved(path):
        return False
    replace_whole(path.with_name(FILE), encode_checked(remote))
    path.with_name(OLD_FILE).unlink(missing_ok=True)
    return True


def _saved(path: Path) -> RemoteSettings | None:
    """The remote settings at `path`, none where there is no file; None if it is damaged. Raises OSError."""
    try:
        return decode_checked(path.read_bytes(), RemoteSettings)
    except FileNotFoundError:
        return {}
    except DamagedFile:
        return None
