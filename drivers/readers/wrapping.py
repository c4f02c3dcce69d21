"""Takes off what scanners add to a code: control bytes, byte order marks, AIM identifiers, ECI, configured texts.

AIM identifiers are those of ISO/IEC 15424, `]`, a letter and a modifier; an ECI is a backslash and six digits, after
which a backslash of the code is doubled (confidence R for both). Readers send UTF-8, in China also GB18030.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

LEAST_CHARACTERS = 4  # a shorter line is a heartbeat, an acknowledgement or noise: no code of a provider is that short

_NAMES = {
    "\0": "NUL",
    "\x01": "SOH",
    "\x02": "STX",
    "\x03": "ETX",
    "\x04": "EOT",
    "\x05": "ENQ",
    "\x06": "ACK",
    "\t": "TAB",
    "\n": "LF",
    "\r": "CR",
    "\x15": "NAK",
    "\x1d": "GS",
    "\x1e": "RS",
    " ": "space",
    "\ufeff": "BOM",
}
_IN_CODES = b"\t\x1c\x1d\x1e\x1f"  # separators that the content of a code may have
_CONTROL_BYTES = bytes(byte for byte in (*range(32), 127) if byte not in _IN_CODES)
_NOT_TEXT = re.compile(rb"\A(?:\xff\xfe|\xfe\xff|\xff)+|\xff+\Z")  # an idle line, or the byte order mark of UTF-16
_ENCODINGS = ("utf-8", "gb18030")
_AIM = re.compile(r"\A\][A-Za-z][0-9A-Za-z]")
_ECI = re.compile(r"\A\\[0-9]{6}")
_WITH_ECI = re.compile(r"\A(?:\\[0-9]{6}|\]Q[246])\Z")  # after one of these, backslashes are escaped
_ESCAPED = re.compile(r"\\(\\|[0-9]{6})")


@dataclass(frozen=True, slots=True)
class Wrapping:
    """What the scanner of one box adds, besides the known: texts before and after a code, and lines that are no code.

    Control characters in these texts have no effect, because they are taken off first.
    """

    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


KNOWN_ONLY = Wrapping()


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """The text of a line, None where it is not text, and names of what was taken off, in order, without the code."""

    text: str | None = field(repr=False)
    taken_off: tuple[str, ...] = ()


def unwrap(line: bytes, wrapping: Wrapping = KNOWN_ONLY) -> Unwrapped:
    """The code in `line`. Each kind of wrapping is taken off once, in whatever order the scanner adds them."""
    taken_off = [_name(chr(byte)) for byte in line if byte in _CONTROL_BYTES]
    bare = line.translate(None, _CONTROL_BYTES)
    taken_off += [found.hex(" ").upper() for found in _NOT_TEXT.findall(bare)]
    text = _decoded(_NOT_TEXT.sub(b"", bare))
    if text is not None:
        text, names = _unwrapped_text(text, wrapping)
        taken_off += names
    return Unwrapped(text, tuple(dict.fromkeys(taken_off)))


def is_ignored(text: str, wrapping: Wrapping = KNOWN_ONLY) -> bool:
    """Whether the unwrapped `text` is not a code: too short, or a line that the settings name."""
    return len(text) < LEAST_CHARACTERS or text in {_trimmed(ignored)[0] for ignored in wrapping.ignored}


def _decoded(line: bytes) -> str | None:
    for encoding in _ENCODINGS:
        try:
            return line.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _unwrapped_text(text: str, wrapping: Wrapping) -> tuple[str, list[str]]:
    text, names = _trimmed(text)
    pending = list(_patterns(wrapping))
    escaped = False
    while found := next(((each, match) for each in pending if (match := each.search(text))), None):
        pattern, match = found
        pending.remove(pattern)
        escaped = escaped or _WITH_ECI.match(match.group()) is not None
        text, padding = _trimmed(text[: match.start()] + text[match.end() :])
        names += [match.group(), *padding]
    if escaped:
        text = _ESCAPED.sub(lambda escape: "\\" if escape[1] == "\\" else "", text)
    return text, names


def _patterns(wrapping: Wrapping) -> Iterator[re.Pattern[str]]:
    """One pattern for each text that is taken off; the longest of several prefixes or suffixes goes first."""
    yield from (_AIM, _ECI)
    yield from (re.compile(rf"\A{re.escape(prefix)}") for prefix in _longest_first(wrapping.prefixes))
    yield from (re.compile(rf"{re.escape(suffix)}\Z") for suffix in _longest_first(wrapping.suffixes))


def _longest_first(texts: Iterable[str]) -> list[str]:
    return sorted({trimmed for text in texts if (trimmed := _trimmed(text)[0])}, key=len, reverse=True)


def _trimmed(text: str) -> tuple[str, list[str]]:
    """`text` without spaces and invisible characters at its ends, and their names."""
    inside = [place for place, character in enumerate(text) if not _is_padding(character)]
    start, end = (inside[0], inside[-1] + 1) if inside else (len(text), len(text))
    return text[start:end], [_name(character) for character in text[:start] + text[end:]]


def _is_padding(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")


def _name(character: str) -> str:
    return _NAMES.get(character, f"U+{ord(character):04X}")
