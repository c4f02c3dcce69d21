"""Reads text that people write by hand: settings, answers, policies, keys, lists.

Editors put a byte order mark before UTF-8, or save UTF-16 under the name "Unicode". Standard library only: the
installer uses this module before any package is installed.
"""

from __future__ import annotations

import codecs
from pathlib import Path

_MARK = "\ufeff"
# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKED = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAVE_AS = "请另存为 UTF-8 编码。 Save it as UTF-8"


class NotText(ValueError):
    """The bytes are not text in a known encoding; the message says what to do and does not quote them."""


def decode_text(content: bytes) -> str:
    """The text in `content`: UTF-8, or UTF-16 or UTF-32 with a byte order mark, which is removed. Raises NotText."""
    text = _decoded(content, next((name for mark, name in _MARKED if content.startswith(mark)), "utf-8"))
    if "\0" in text:
        raise NotText(f"contains NUL characters, as UTF-16 without a byte order mark does: {_SAVE_AS}")
    return text


def read_text_file(path: Path) -> str:
    """The text in the file at `path`. Raises OSError, and NotText with the name of the file."""
    try:
        return decode_text(path.read_bytes())
    except NotText as exc:
        raise NotText(f"{path}: {exc}") from exc


def read_pem(path: Path) -> bytes:
    """The PEM in the file at `path`, without a byte order mark. Raises OSError, and NotText with the name of the file.

    PEM is ASCII; other characters stand in comments only and are kept.
    """
    try:
        return decode_text(path.read_bytes()).encode()
    except NotText as exc:
        raise NotText(f"{path}: 不是 PEM 文件。 It is not a PEM file (text that begins with -----BEGIN)") from exc


def read_hex_key(path: Path) -> bytes:
    """The key that the file at `path` contains in hex digits. Raises OSError, ValueError."""
    return bytes.fromhex(read_text_file(path).strip())


def _decoded(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding).lstrip(_MARK)
    except UnicodeDecodeError as exc:
        raise NotText(f"is not {encoding.upper()} text (byte {exc.start}): {_SAVE_AS}") from exc
