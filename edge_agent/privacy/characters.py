"""Finds digits in raw bytes however they are written: plain, UTF-16, full-width, escaped, or as hexadecimal text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SEPARATORS = {b"\xc2\xa0": " ", b"\xe3\x80\x80": " ", b"\xe2\x80\x90": "-", b"\xe2\x80\x91": "-", b"\xe2\x80\x93": "-"}
_ESCAPED = re.compile(
    rb"\\+[uU](?:0000)?(?P<unicode>00(?:3[0-9]|[57]8)|[fF]{2}(?:1[0-9]|38|58))|\\+x(?P<x>3[0-9]|[57]8)"
    rb"|%(?P<percent>3[0-9]|[57]8)|&#(?P<decimal>4[89]|5[0-7]|88|120);|&#[xX](?P<hex>3[0-9]|[57]8);"
)
_WIDE = rb"\xef\xbc[\x90-\x99\xb8]|\xef\xbd\x98"  # UTF-8
_WIDE_GBK = rb"\xa3[\xb0-\xb9\xd8\xf8]"
_CHARACTER = rb"[0-9Xx]|" + _WIDE + b"|" + _WIDE_GBK + b"|" + re.sub(rb"\?P<\w+>", b"?:", _ESCAPED.pattern)
_SEPARATOR = rb"[ .-]|" + b"|".join(_SEPARATORS)
_TOKEN = re.compile(b"(?:" + _CHARACTER + b"|" + _SEPARATOR + b")")
_FIRST = rb"(?=[0-9Xx\xef\xa3\\%&])"  # so that most bytes are passed over quickly
_RUN = re.compile(_FIRST + b"(?:(?:" + _CHARACTER + b")(?:" + _SEPARATOR + b")?){11,}")
_RUN_UTF16 = re.compile(rb"(?:[0-9Xx .-]\0|[\x10-\x19\x38\x58]\xff){10,}(?:[0-9Xx]\0?|[\x10-\x19\x38\x58]\xff)")
_RUN_HEX = re.compile(rb"(?:3[0-9](?:00)?|[57]8(?:00)?|2[0dDeE](?:00)?){11,}")


@dataclass(frozen=True, slots=True)
class DigitRun:
    """A run of digits, X and separators as `text`; `offsets[i]` is where its character i begins in the bytes.

    `plain`: each character is one byte of the data.
    """

    text: str
    offsets: tuple[int, ...]
    plain: bool


def digit_runs(data: bytes) -> Iterator[DigitRun]:
    """Every run of at least 11 digits, with single separators between them, in any of the forms."""
    for found in _RUN.finditer(data):
        yield _decoded(data, found.start(), found.end())
    for found in _RUN_UTF16.finditer(data):
        offsets = tuple(range(found.start(), found.end(), 2))
        yield DigitRun("".join(_utf16(data[at : at + 2]) for at in offsets), offsets, plain=False)
    for found in _RUN_HEX.finditer(data):
        step = 4 if data[found.start() + 2 : found.start() + 4] == b"00" else 2
        offsets = tuple(range(found.start(), found.end() - 1, step))
        text = "".join(chr(int(data[at : at + 2], 16)) for at in offsets)
        yield DigitRun(text, offsets, plain=False)


def _utf16(unit: bytes) -> str:
    """The character of a little-endian UTF-16 unit, whose second byte may be missing; full-width becomes plain."""
    return chr(unit[0] + 0x20) if unit[1:] == b"\xff" else chr(unit[0])


def _decoded(data: bytes, start: int, end: int) -> DigitRun:
    tokens = list(_TOKEN.finditer(data, start, end))
    text = "".join(_character(token.group()) for token in tokens)
    return DigitRun(text, tuple(token.start() for token in tokens), plain=len(tokens) == end - start)


def _character(token: bytes) -> str:
    if len(token) == 1:
        return chr(token[0])
    if token in _SEPARATORS:
        return _SEPARATORS[token]
    if escaped := _ESCAPED.fullmatch(token):
        kind = str(escaped.lastgroup)
        code = int(escaped[kind], 10 if kind == "decimal" else 16)
        return chr(code - 0xFEE0 if code >= 0xFF00 else code)
    if len(token) == 2:
        return chr(token[1] - 0x80)
    return chr(ord(token.decode()) - 0xFEE0)
