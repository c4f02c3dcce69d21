"""Reads TOML files; an error message names the file and the fault."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from config.errors import SettingsError
from sync.storage.text_file import NotText, decode_text

MOST_BYTES = 1024 * 1024
_TOO_LARGE = f"larger than {MOST_BYTES // 1024} KiB, the limit for a settings file"


def read_toml(path: Path) -> dict[str, Any]:
    """The table in the file at `path`. Raises SettingsError, which names the file."""
    text = read_text(path)
    try:
        return parse_toml(text)
    except SettingsError as exc:
        raise SettingsError(f"{path}: {exc}", exc.line) from exc


def read_text(path: Path) -> str:
    """The text of the file at `path`, at most MOST_BYTES. Raises SettingsError, which names the file."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as exc:
        raise SettingsError(f"{path}: 无法读取 cannot be read: {exc.strerror}") from exc
    if len(content) > MOST_BYTES:
        raise SettingsError(f"{path}: {_TOO_LARGE}")
    try:
        return decode_text(content)
    except NotText as exc:
        raise SettingsError(f"{path}: {exc}") from exc


def parse_toml(text: str) -> dict[str, Any]:
    """The table in `text`. Raises SettingsError."""
    if len(text.encode(errors="replace")) > MOST_BYTES:
        raise SettingsError(_TOO_LARGE)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        at = re.search(r"at line (\d+)", str(exc))
        raise SettingsError(f"not valid TOML: {exc}", int(at[1]) if at else len(text.splitlines())) from exc
    except RecursionError as exc:
        raise SettingsError("not valid TOML: nested too deeply") from exc
