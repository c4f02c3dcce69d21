"""ID and telephone numbers in raw bytes: as plain digits or in UTF-16, whatever lies around them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from drivers.readers.errors import CodeMalformed
from drivers.readers.id_number import normalised_id_number

CONTEXT_BYTES = 64  # what is looked at before a number
LONGEST_BYTES = 256  # what is looked at from its first byte on

_RUN = re.compile(rb"[0-9]{11,18}[Xx]?|1[3-9][0-9](?:[ -][0-9]{4}){2}")
_RUN_UTF16 = re.compile(rb"(?:[0-9]\0){11,18}(?:[Xx]\0)?")
_MOBILE = re.compile(r"(?:86)?1[3-9][0-9]{9}")  # the state's numbering plan gives mobile networks 13 to 19
_OLD_ID = re.compile(r"[1-9][0-9]{5}([0-9]{2})([0-9]{2})([0-9]{2})[0-9]{3}")
_SPEAKS_OF_ID = re.compile("身份|证件|证号".encode() + rb"|\bid[ _-]?(?:card|no|num)|identity", re.IGNORECASE)
_HASH_BEFORE, _HASH_AFTER = re.compile(rb"[0-9A-Fa-f-]*\Z"), re.compile(rb"[0-9A-Fa-f-]*")
_HASH_LETTERS = 32  # a run of hexadecimal digits this long is a hash or a UUID
_FIRST_YEAR = 1900


class NumberKind(StrEnum):
    """What must not lie on a box in the open."""

    ID_NUMBER = "id_number"
    OLD_ID_NUMBER = "old_id_number"  # 15 digits, as before 1999; only where something speaks of an ID beside it
    PHONE_NUMBER = "phone_number"
    FACE = "face"


@dataclass(frozen=True, slots=True)
class NumberMatch:
    """What was found and at which byte; never the thing itself."""

    kind: NumberKind
    offset: int


def numbers_in(data: bytes) -> Iterator[NumberMatch]:
    """Every number in `data`, in no order; one inside of a hash is a coincidence and left out."""
    for found in _RUN.finditer(data):
        if kind := _kind(found.group(), data, found.start(), found.end(), width=1):
            yield NumberMatch(kind, found.start())
    for found in _RUN_UTF16.finditer(data):
        if kind := _kind(found.group()[::2], data, found.start(), found.end(), width=2):
            yield NumberMatch(kind, found.start())


def _kind(run: bytes, data: bytes, start: int, end: int, *, width: int) -> NumberKind | None:
    """What the digits of `run`, which stand at `data[start:end]`, are; None for anything harmless."""
    if data[start - width : start][:1].isdigit() or data[end : end + 1].isdigit():
        return None  # part of a longer number
    text = run.decode("ascii").translate({ord(" "): None, ord("-"): None})
    kind = _kind_of(text) or _kind_of(text.rstrip("Xx"))
    if kind is None and _is_old_id(text) and _SPEAKS_OF_ID.search(data[max(0, start - CONTEXT_BYTES) : start]):
        kind = NumberKind.OLD_ID_NUMBER
    if kind is None or (width == 1 and (_is_fraction(data, start) or _is_hash(data, start))):
        return None
    return kind


def _kind_of(text: str) -> NumberKind | None:
    if _MOBILE.fullmatch(text):
        return NumberKind.PHONE_NUMBER
    try:
        number = normalised_id_number(text)
    except CodeMalformed:
        return None
    return NumberKind.ID_NUMBER if _FIRST_YEAR <= int(number[6:10]) <= date.today().year else None  # noqa: DTZ011 - a year


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
    """Whether the digits follow a decimal point, as those of a measured value do."""
    return data[start - 1 : start] == b"." and data[start - 2 : start - 1].isdigit() if start >= 2 else False


def _is_hash(data: bytes, start: int) -> bool:
    before = _HASH_BEFORE.search(data, max(0, start - CONTEXT_BYTES), start)
    after = _HASH_AFTER.match(data, start, start + CONTEXT_BYTES)
    run = (before.group() if before else b"") + (after.group() if after else b"")
    return len(run) >= _HASH_LETTERS and any(letter in b"abcdefABCDEF" for letter in run)
