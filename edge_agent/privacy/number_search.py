"""Finds ID and telephone numbers in raw bytes, as ASCII digits or in UTF-16, whatever surrounds them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from drivers.readers.errors import CodeMalformed
from drivers.readers.id_number import birth_date, normalised_id_number
from edge_agent.privacy.findings import PersonalDataKind, PersonalDataMatch

CONTEXT_BYTES = 64  # examined before a number
LONGEST_BYTES = 256  # examined from the first byte of a number on

_RUN = re.compile(rb"[0-9]{11,18}[Xx]?|1[3-9][0-9](?:[ -][0-9]{4}){2}")
_RUN_UTF16 = re.compile(rb"(?:[0-9]\0){11,18}(?:[Xx]\0)?")
_MOBILE = re.compile(r"(?:86)?1[3-9][0-9]{9}")  # the national numbering plan assigns 13 to 19 to mobile networks
_OLD_ID = re.compile(r"[1-9][0-9]{5}([0-9]{2})([0-9]{2})([0-9]{2})[0-9]{3}")
_MENTIONS_ID = re.compile("身份|证件|证号".encode() + rb"|\bid[ _-]?(?:card|no|num)|identity", re.IGNORECASE)
_HASH_BEFORE, _HASH_AFTER = re.compile(rb"[0-9A-Fa-f-]*\Z"), re.compile(rb"[0-9A-Fa-f-]*")
_HASH_DIGITS = 32  # a run of hexadecimal digits this long is a hash or a UUID
_FIRST_YEAR = 1900


def numbers_in(data: bytes) -> Iterator[PersonalDataMatch]:
    """Every number in `data`, in no particular order; digits inside a hash or UUID are left out."""
    for found in _RUN.finditer(data):
        if kind := _kind(found.group(), data, found.start(), found.end(), width=1):
            yield PersonalDataMatch(kind, found.start())
    for found in _RUN_UTF16.finditer(data):
        if kind := _kind(found.group()[::2], data, found.start(), found.end(), width=2):
            yield PersonalDataMatch(kind, found.start())


def _kind(run: bytes, data: bytes, start: int, end: int, *, width: int) -> PersonalDataKind | None:
    """The kind of number that `run`, which is `data[start:end]`, holds; None for anything harmless."""
    if data[start - width : start][:1].isdigit() or data[end : end + 1].isdigit():
        return None  # part of a longer number
    text = run.decode("ascii").translate({ord(" "): None, ord("-"): None})
    kind = _kind_of(text) or _kind_of(text.rstrip("Xx"))
    if kind is None and _is_old_id(text) and _MENTIONS_ID.search(data[max(0, start - CONTEXT_BYTES) : start]):
        kind = PersonalDataKind.OLD_ID_NUMBER
    if kind is None or (width == 1 and (_is_fraction(data, start) or _is_hash(data, start))):
        return None
    return kind


def _kind_of(text: str) -> PersonalDataKind | None:
    if _MOBILE.fullmatch(text):
        return PersonalDataKind.PHONE_NUMBER
    try:
        number = normalised_id_number(text)
    except CodeMalformed:
        return None
    return PersonalDataKind.ID_NUMBER if _FIRST_YEAR <= birth_date(number).year <= date.today().year else None  # noqa: DTZ011 - a year


def _is_old_id(text: str) -> bool:
    shape = _OLD_ID.fullmatch(text)
    if shape is None:
        return False
    year, month, day = map(int, shape.groups())
    try:
        date(_FIRST_YEAR + year, month, day)
    except ValueError:
        return False
    return True


def _is_fraction(data: bytes, start: int) -> bool:
    """Whether the digits follow a decimal point, as in a measured value."""
    return data[start - 1 : start] == b"." and data[start - 2 : start - 1].isdigit() if start >= 2 else False


def _is_hash(data: bytes, start: int) -> bool:
    before = _HASH_BEFORE.search(data, max(0, start - CONTEXT_BYTES), start)
    after = _HASH_AFTER.match(data, start, start + CONTEXT_BYTES)
    run = (before.group() if before else b"") + (after.group() if after else b"")
    return len(run) >= _HASH_DIGITS and any(digit in b"abcdefABCDEF" for digit in run)
