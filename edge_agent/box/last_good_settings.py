"""The settings of the last successful start, used while the settings file is invalid."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from config.catalogue import load_catalogue
from config.errors import SettingsError
from config.settings import Settings, load_settings
from config.toml_file import read_toml
from edge_agent.box.extras import check_extras
from edge_agent.box.key_files import make_data_dir
from edge_agent.screen.view_state import Notice
from sync.redaction import redact
from sync.storage.atomic_files import replace_whole

FILE = "settings.good.json"
# Without one of these the box would be another one, or offline: they must not vanish unnoticed.
_IDENTITY = (("box", "district"), ("box", "name"), ("box", "data_dir"), ("platform", "url"))

Check = Callable[[Settings], None]  # raises SettingsError

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InvalidSettings:
    """A settings file that cannot be used, the reason, and the settings of the link in safe mode, if there are any."""

    path: Path
    fault: SettingsError
    good: Settings | None
    check: Check = check_extras

    @property
    def why(self) -> str:
        """The faults in one line, without passwords."""
        return redact("; ".join(str(self.fault).splitlines()))

    @property
    def place(self) -> str:
        """File and line of the first fault, without the value, which may be a password."""
        return self.path.name if self.fault.line is None else f"{self.path.name}:{self.fault.line}"

    def notice(self) -> Notice:
        """Message for the screen."""
        texts = load_catalogue().sections["label"]["settings_unusable"].texts
        return Notice({language: text.format(place=self.place) for language, text in texts.items()})

    def is_valid_now(self) -> bool:
        """Whether the file can be used by now."""
        try:
            usable_settings(self.path, self.check)
        except SettingsError:
            return False
        return True


def usable_settings(path: Path, check: Check = check_extras) -> Settings:
    """The settings at `path`; their data folder is created when `check` accepts them. Raises SettingsError."""
    settings = load_settings(path)
    _check_not_emptied(path, settings)
    check(settings)
    make_data_dir(Path(settings.box.data_dir))
    return settings


def well_formed(path: Path) -> Settings | None:
    """The settings at `path` if they are valid, even if the agent cannot start with them; None otherwise."""
    try:
        return load_settings(path)
    except SettingsError:
        return None


def _check_not_emptied(path: Path, settings: Settings) -> None:
    """Raise SettingsError if the file no longer says who the box is: it would start as another box."""
    if not was_set_up():
        return
    good, table = last_good(), read_toml(path)
    if not any(table.values()):
        raise SettingsError(
            f"{path}: 文件为空，而本机已设置过。请恢复该文件，或运行 edge-agent provision。"
            "The file contains no settings, but this box was set up before: restore it, or run edge-agent provision"
        )
    for section, key in _IDENTITY if good is not None else ():
        before, now = (getattr(getattr(each, section), key) for each in (good, settings))
        if before != now and key not in table.get(section, {}):
            raise SettingsError(
                f"{path}: [{section}] {key} 缺失，此前为 {before!r}，请补上该行。"
                f"[{section}] {key} is missing; it was {before!r}: add the line again, with this value or another"
            )


def was_set_up() -> bool:
    """Whether this service ran before: it has saved settings or a ledger, readable or not."""
    folder = _state_dir()
    return folder is not None and any((folder / name).exists() for name in (FILE, "ledger.db", "ledger.db-head"))


def is_service() -> bool:
    """Whether systemd started the agent: then there is no terminal, and there is a state folder."""
    return _state_dir() is not None


def save_good(settings: Settings) -> None:
    """Save `settings` for starts at which their file cannot be used; only in a service."""
    folder = _state_dir()
    if folder is not None:
        try:
            replace_whole(folder / FILE, msgspec.json.encode(settings))
        except OSError as exc:
            _LOG.warning("%s: not saved: %s", folder / FILE, exc.strerror)


def last_good() -> Settings | None:
    """The saved settings; None where there are none, or none that this version accepts."""
    folder = _state_dir()
    try:
        return None if folder is None else msgspec.json.decode((folder / FILE).read_bytes(), type=Settings)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as exc:
        _LOG.warning("the last good settings cannot be used: %s", exc)
        return None


def _state_dir() -> Path | None:
    """systemd's folder for this service (StateDirectory=)."""
    given = os.environ.get("STATE_DIRECTORY")
    return Path(given) if given else None
