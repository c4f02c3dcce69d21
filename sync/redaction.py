"""Text for logs and terminals: without passwords and control characters. Standard library only.

Passwords are found by what they are and not by where they stand.

Of an address only scheme, host and port are kept, and only if they are certain: cameras take a password before the
host, in the query and in the path. In doubt more is hidden.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from copy import copy
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"

_URL = re.compile(
    r"(?P<scheme>[a-z0-9+.-]{0,20})(?P<separator>://|:\\/\\/|%3A%2F%2F)(?P<rest>[^\s\"<>]*)", re.IGNORECASE
)
_HOST = re.compile(r"(?:\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?", re.IGNORECASE)
_AFTER_HOST = re.compile(r"[/?#;\\%&,']")
_END_OF_SENTENCE = ",.;:!?)]}'，。；：！？）】”’、"
_WORD = re.compile(r"[^\s\"]+")
_NAME = r"(?:pass(?:word|wd|phrase|code)?|passw|ps?swd|pwd|psw|pw|secret|token|api_?key|access_?key|auth|密码|口令)"
# NAME=VALUE and NAME: VALUE; the name may end a longer word (camera_password). An unquoted value ends with its line.
_NAMED = re.compile(
    rf"(?P<name>{_NAME}[0-9]*\\?[\"']?\s*(?:=|：|:(?!//)|%3D)\s*|(?<!-)--[a-z-]{{0,20}}{_NAME}\s+)"
    r"(?:\\?\"(?:[^\"\\]|\\[^\"])*\\?\"|'[^']*'|[^\r\n]+)",
    re.IGNORECASE,
)
_IN_PATH = re.compile(rf"{_NAME}[0-9]*(?:=|%3D)", re.IGNORECASE)
_AUTHORIZATION = re.compile(
    r"(authorization\s*[:=]\s*|\b(?:basic|bearer)\s+(?=[a-z0-9+/=._~-]{16}))[^\r\n]+", re.IGNORECASE
)
_SECRET_KEY = re.compile(rf"(?:.*_)?{_NAME}[0-9]*|staff_pin", re.IGNORECASE)
_ADDRESS_KEYS = {"source", "url", "platform_url", "store", "address"}


def redact(text: str) -> str:
    """`text` with passwords, and all of an address but scheme, host and port, replaced by asterisks."""
    return "".join(map(_redact_line, text.splitlines(keepends=True)))


def redact_value(value: Any, key: str = "") -> Any:
    """`value`, made of JSON types, with every text redacted; `key` is its key in the object around it."""
    if isinstance(value, Mapping):
        return {redact(str(name)): redact_value(each, str(name)) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(each, key) for each in value]
    if value not in (None, "") and not isinstance(value, bool) and _SECRET_KEY.fullmatch(key):
        return HIDDEN
    if not isinstance(value, str):
        return value
    whole = _URL.match(value) if key in _ADDRESS_KEYS else None
    return redact(value) if whole is None else _redact_address(whole, value[whole.start("rest") :])


def printable(text: str) -> str:
    r"""`text` as one line; characters that are not printable as in JSON: a line feed, an escape or U+202E as \uXXXX."""
    return text if text.isprintable() else "".join(each if each.isprintable() else _escaped(each) for each in text)


class RedactingFormatter(logging.Formatter):
    """Formats log records without passwords. A message is one line, whatever is in it; a traceback has its own."""

    def format(self, record: logging.LogRecord) -> str:
        shown = copy(record)
        shown.msg, shown.args = printable(record.getMessage()), ()
        return redact("\n".join(map(printable, super().format(shown).split("\n"))))


def log_without_passwords(level: int, pattern: str, time_pattern: str | None = None) -> None:
    """Log to stderr from `level` on, every line in `pattern` and redacted."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter(pattern, time_pattern))
    logging.basicConfig(level=level, handlers=[handler])


def may_hold_password(address: str) -> bool:
    """Whether an address in the settings has a place in which cameras take a password."""
    return bool(re.search(rf"[@?=;&%]|{_NAME}", address, re.IGNORECASE))


def secret_parts(address: str) -> Iterator[str]:
    """The parts of `address` that may be a password, as they may be shown without it: as written and decoded."""
    rest = address.partition("://")[2] or address
    user, _, place = rest.rpartition("@")
    for part in (rest, user, user.partition(":")[2], place[len(_AFTER_HOST.split(place, maxsplit=1)[0]) :]):
        yield from {part, unquote(part)} - {""}


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _redact_line(line: str) -> str:
    return "".join(_redacted_pieces(_AUTHORIZATION.sub(rf"\1{HIDDEN}", line)))


def _redacted_pieces(line: str) -> Iterator[str]:
    at = 0
    while found := _URL.search(line, at):
        yield _redact_words(line[at : found.start()])
        rest = found["rest"].rstrip(_END_OF_SENTENCE)
        at = found.start("rest") + len(rest)
        following = _URL.search(line, found.end())
        remainder = line[at : following.start() if following else len(line)]
        if "@" not in remainder and _IN_PATH.search(rest):
            yield _redact_address(found, rest)
            at += len(remainder.rstrip("\r\n"))  # the password may contain a space
        elif "@" in rest or (_host_in(rest) and "@" not in remainder):
            yield _redact_address(found, rest)
        else:  # a space or a quotation mark in the password: it may end at the last @, or anywhere
            yield f"{found['scheme']}://{HIDDEN}"
            at += len(remainder.rstrip("\r\n"))
    yield _redact_words(line[at:])


def _redact_words(text: str) -> str:
    """`text` without addresses: user:password@host and named passwords are hidden."""
    without_users = _WORD.sub(lambda word: HIDDEN if ":" in word[0].rpartition("@")[0] else word[0], text)
    return _NAMED.sub(rf"\g<name>{HIDDEN}", without_users)


def _redact_address(found: re.Match[str], rest: str) -> str:
    """The address, of which `rest` follows the separator, with only what certainly is its host and port."""
    host = _host_in(rest) if found["separator"] == "://" else ""
    if not host:
        return f"{found['scheme']}://{HIDDEN if rest else ''}"
    before, _, after = rest.partition(host)
    return f"{found['scheme']}://{f'{HIDDEN}@' if before else ''}{host}{f'/{HIDDEN}' if after else ''}"


def _host_in(rest: str) -> str:
    """Host and port in `rest`, the part of an address behind its scheme; "" where they are not certain."""
    authority = _AFTER_HOST.split(rest, maxsplit=1)[0]
    user, _, host = authority.rpartition("@")
    is_certain = _HOST.fullmatch(host) and "@" not in user and "@" not in rest[len(authority) :]
    return host if is_certain else ""
