"""The few settings that the platform may change from afar; they apply from the next start."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec

from config.errors import SettingsError
from config.settings import Settings
from sync.storage.atomic_files import replace_whole

log = logging.getLogger(__name__)

# What cannot cut the box off, or change what is wired to it.
_OPEN = {
    "arrival": None,  # all of it
    "announcer": None,
    "speaker": {"language"},
    "directory": {"query_budget_ms"},
    "vision": {"active_fps", "idle_fps", "min_score"},
    "retention": None,
}
Wanted = dict[str, dict[str, Any]]


def wanted_path(settings: Settings) -> Path:
    """Where the box keeps what is wanted of it."""
    return Path(settings.box.data_dir) / "wanted.json"


def with_wanted(settings: Settings, wanted: Wanted) -> Settings:
    """`settings` with the changes; raises SettingsError naming the first that is not for the platform to make."""
    changed: dict[str, Any] = {}
    for section, changes in wanted.items():
        if section not in _OPEN:
            raise SettingsError(f"[{section}] is not changed from afar")
        allowed = _OPEN[section]
        for key in changes:
            if allowed is not None and key not in allowed:
                raise SettingsError(f"[{section}] {key} is not changed from afar")
        own = getattr(settings, section)
        try:
            changed[section] = msgspec.convert({**msgspec.to_builtins(own), **changes}, type(own), strict=True)
        except msgspec.ValidationError as exc:
            raise SettingsError(f"[{section}]: {exc}") from exc
    return msgspec.structs.replace(settings, **changed)


def apply_remote_settings(settings: Settings) -> Settings:
    """`settings` as the platform last wanted them; what does not fit any more is passed over with a warning."""
    path = wanted_path(settings)
    try:
        return with_wanted(settings, msgspec.json.decode(path.read_bytes(), type=Wanted))
    except FileNotFoundError:
        return settings
    except (OSError, msgspec.DecodeError, SettingsError) as exc:
        log.warning("%s: not applied, the box's own settings hold: %s", path, exc)
        return settings


def save_remote_settings(settings: Settings, wanted: Wanted) -> bool:
    """Keep `wanted` for the next start; returns whether it changes anything. Raises SettingsError, OSError."""
    with_wanted(settings, wanted)
    path = wanted_path(settings)
    body = msgspec.json.encode(wanted)
    if body == (path.read_bytes() if path.exists() else b"{}"):
        return False
    replace_whole(path, body)
    return True
