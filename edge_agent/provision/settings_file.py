"""Writes settings as TOML: identity and devices of the box always, other settings only if they differ from the default.

A later version can change the other defaults, but never the identity of a box.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from config.errors import SettingsError
from config.settings import Settings, load_settings, parse_settings
from config.toml_file import read_toml
from edge_agent.box.extras import check_extras
from edge_agent.box.versioned_file import keep

INSTALLED = Path("/etc/edge-agent")

Sections = dict[str, dict[str, Any]]

_ALWAYS_WRITTEN = {
    "box": ("district", "name", "checkpoint", "lane", "direction"),
    "thermometer": ("driver", "port"),
    "reader": ("driver", "port"),
    "gate": ("driver",),
    "speaker": ("language",),
}
# Paths that a box with its settings elsewhere has beside them, so that it shares nothing with the installed one.
_BESIDE = {
    ("box", "data_dir"): "data",
    ("directory", "community_key_file"): "community.key",
    ("privacy", "key_file"): "at-rest.key",
    ("staff", "pin_hash_file"): "staff.pin",
}
_HEAD = """# 本机设置，由 edge-agent provision 写入；未列出的设置取默认值（见 sentinel.example.toml）。
# Written by edge-agent provision; settings not listed here have their default (see sentinel.example.toml).
"""


def read_sections(path: Path) -> Sections:
    """The settings at `path` as sections; the defaults if there is no file. Raises SettingsError.

    Elsewhere than in INSTALLED the paths that the file does not name are beside it: nothing else may be written to.
    """
    settings = load_settings(path) if path.exists() else Settings()
    if is_installed(path):
        return sections_from(settings)
    beside: Sections = {}
    for (section, key), name in _BESIDE.items():
        beside.setdefault(section, {})[key] = str(path.parent.absolute() / name)
    return merged(sections_from(settings), beside, _named_paths(path))


def is_installed(path: Path) -> bool:
    """Whether the settings at `path` are those of the installed service."""
    return path.parent.resolve() == INSTALLED


def _named_paths(path: Path) -> Sections:
    """The paths of _BESIDE that the file names, even where it names the default."""
    sections = read_toml(path) if path.exists() else {}
    return {
        section: {key: sections[section][key] for name, key in _BESIDE if name == section and key in sections[section]}
        for section, _ in _BESIDE
        if section in sections
    }


def sections_from(settings: Settings) -> Sections:
    """The sections of `settings` that are written to the file."""
    whole, default = msgspec.to_builtins(settings), msgspec.to_builtins(Settings())
    changed = {
        name: {
            key: value
            for key, value in section.items()
            if value != default[name][key] or key in _ALWAYS_WRITTEN.get(name, ())
        }
        for name, section in whole.items()
    }
    return {name: section for name, section in changed.items() if section}


def merged(*layers: Mapping[str, Mapping[str, Any]]) -> Sections:
    """The merged `layers`; a later layer overrides an earlier one, and the rate of another driver is not kept."""
    result: Sections = {}
    for layer in layers:
        for name, section in layer.items():
            before = result.get(name, {})
            if section.get("driver", before.get("driver")) != before.get("driver"):
                before = {key: value for key, value in before.items() if key != "baud"}
            result[name] = {**before, **section}
    return result


def toml_from(sections: Sections) -> str:
    """`sections` as TOML."""
    blocks = [
        "\n".join([f"[{name}]", *(f"{key} = {_value(value)}" for key, value in section.items())])
        for name, section in sections.items()
    ]
    return "\n\n".join([_HEAD.rstrip(), *blocks]) + "\n"


def checked_settings(sections: Sections) -> Settings:
    """The settings in `sections`. Raises SettingsError with one line per error."""
    settings = parse_settings(toml_from(sections))
    check_extras(settings)
    return settings


def write_settings(path: Path, settings: Settings) -> None:
    """Replace the file at `path` atomically; the previous file is kept beside it. Raises SettingsError.

    The file has the owner of its folder: on an installed box root, with the group of the agent.
    """
    try:
        keep(path, toml_from(_written(path, settings)).encode())
    except OSError as exc:
        raise SettingsError(f"{path}: 无法写入 cannot be written: {exc.strerror}") from exc


def _written(path: Path, settings: Settings) -> Sections:
    """The sections to write; elsewhere than in INSTALLED every path of _BESIDE is among them."""
    sections = sections_from(settings)
    if is_installed(path):
        return sections
    paths = {section: {key: getattr(getattr(settings, section), key)} for section, key in _BESIDE}
    return merged(sections, paths)


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
