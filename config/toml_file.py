"""TOML as somebody wrote it, with every fault told in a sentence."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from config.errors import SettingsError

MOST_BYTES = 1024 * 1024


def read_toml(path: Path) -> dict[str, Any]:
    """The table in the file at `path`. Raises SettingsError, which names the file."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        return parse_toml(data.decode())
    except OSError as exc:
        raise SettingsError(f"{path}: 无法读取 cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(f"{path}: is not UTF-8 text (byte {exc.start})") from exc
    except SettingsError as exc:
        raise SettingsError(f"{path}: {exc}") from exc


def parse_toml(text: str) -> dict[str, Any]:
    """The table in `text`. Raises SettingsError."""
    if len(text) > MOST_BYTES:
        raise SettingsError(f"larger than {MOST_BYTES // 1024} KiB, which no settings are")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError(f"not valid TOML: {exc}") from exc
    except RecursionError as exc:
        raise SettingsError("not valid TOML: nested too deeply") from exc
