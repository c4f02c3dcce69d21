"""Settings written as TOML: who the box is and what is plugged in, and of the rest what differs from the default.

So a box follows better defaults later, and never becomes another box by them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from config.errors import SettingsError
from config.settings import Settings, load_settings, parse_settings
from edge_agent.box.extras import check_extras
from edge_agent.box.versioned_file import keep

Sections = dict[str, dict[str, Any]]

_OF_THIS_BOX = {
    "box": ("district", "name", "checkpoint", "lane", "direction"),
    "thermometer": ("driver", "port"),
    "reader": ("driver", "port"),
    "gate": ("driver",),
    "speaker": ("language",),
}
_HEAD = """# 本机设置，由 edge-agent provision 写入；未列出的设置取默认值（见 sentinel.example.toml）。
# Written by edge-agent provision; what is left out keeps its default.
"""


def read_sections(path: Path) -> Sections:
    """The settings at `path` as sections; those of a new box where there is no file. Raises SettingsError."""
    return as_sections(load_settings(path) if path.exists() else Settings())


def as_sections(settings: Settings) -> Sections:
    """What of `settings` is this box's own, or not the default."""
    whole, default = msgspec.to_builtins(settings), msgspec.to_builtins(Settings())
    changed = {
        name: {
            key: value
            for key, value in section.items()
            if value != default[name][key] or key in _OF_THIS_BOX.get(name, ())
        }
        for name, section in whole.items()
    }
    return {name: section for name, section in changed.items() if section}


def merged(*layers: Mapping[str, Mapping[str, Any]]) -> Sections:
    """All `layers`, a later one before an earlier one."""
    result: Sections = {}
    for layer in layers:
        for name, section in layer.items():
            result[name] = {**result.get(name, {}), **section}
    return result


def as_toml(sections: Sections) -> str:
    """`sections` as TOML."""
    blocks = [
        "\n".join([f"[{name}]", *(f"{key} = {_value(value)}" for key, value in section.items())])
        for name, section in sections.items()
    ]
    return "\n\n".join([_HEAD.rstrip(), *blocks]) + "\n"


def checked(sections: Sections) -> Settings:
    """The settings that `sections` make. Raises SettingsError, one line a fault."""
    settings = parse_settings(as_toml(sections))
    check_extras(settings)
    return settings


def write_sections(path: Path, sections: Sections) -> None:
    """Write `sections` to `path`, whole; what was there is kept beside it. Raises SettingsError.

    The file belongs to whom its folder belongs: on an installed box to root, and to the group of the agent.
    """
    try:
        keep(path, as_toml(sections).encode())
    except OSError as exc:
        raise SettingsError(f"{path}: 无法写入 cannot be written: {exc.strerror}") from exc


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
