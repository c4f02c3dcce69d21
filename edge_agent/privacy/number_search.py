"""Finds numbers of ID cards, telephones, passports and permits in raw bytes, whatever surrounds them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from edge_agent.privacy.base64_search import base64_runs
from edge_agent.privacy.characters import DigitRun, digit_runs
from edge_agent.privacy.findings import PersonalDataKind, PersonalDataMatch
from sync.id_number import InvalidNumber, birth_date, checked_id_number

CONTEXT_BYTES = 64  # examined before a number
LONGEST_BYTES = 1024  # examined from the first byte of a number on

_BETWEEN = "[ .-]?"
# Glued to digits: the date of birth and the check digit tell an ID number from the digits around it.
_ID_GLUED = re.compile(r"(?=([1-9]\d{5}(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx]))")
_ID_GROUPED = re.compile(rf"(?<!\d)(?=([1-9](?:{_BETWEEN}\d){{16}}{_BETWEEN}[\dXx])(?!\d))")
# The national numbering plan assigns 13 to 19 to mobile networks.
_MOBILE = re.compile(rf"(?<!\d)(?:86{_BETWEEN})?1[3-9]\d(?:{_BETWEEN}\d{{4}}){{2}}(?!\d)")
_OLD_ID = re.compile(r"(?<!\d)[1-9]\d{5}(\d\d)(\d\d)(\d\d)\d{3}(?!\d)")
_MENTIONS_ID = re.compile("身份|证件|证号".encode() + rb"|\bid[ _-]?(?:card|no|num)|identity", re.IGNORECASE)
# Chinese passports (E, EA to EZ; G, D, S, P and K: earlier, diplomatic, service, public affairs, Macao), exit-entry
# permits (C, CA to CZ, W), permits of residents of Hong Kong and Macao (H, M: 8 digits or 10).
_DOCUMENT = re.compile(rb"[CDEGHKMPSW][0-9A-Z][0-9]{7}(?:[0-9]{2})?(?![0-9A-Za-z])")
_PASSPORT = re.compile(rb"E[A-HJ-NP-Z][0-9]{7}|[EGDSPK][0-9]{8}")
_PERMIT = re.compile(rb"C[A-HJ-NP-Z][0-9]{7}|[CW][0-9]{8}|[HM][0-9]{8}(?:[0-9]{2})?")
# Numbers of other countries and of permits without a letter are recognised only after their name.
_PASSPORT_NAMES = (b"passport", "护照".encode())
_PERMIT_NAMES = (b"permit", *(name.encode() for name in ("通行证", "台胞证", "回乡证", "居留证", "居留身份证")))
_NAMED = re.compile(
    rb"[^0-9A-Za-z]{0,4}(?:(?i:no|num|number|"
    + "号码|号".encode()
    + rb")[^0-9A-Za-z]{1,4})?(?P<number>[A-Za-z]{0,3}[0-9]{6,12})(?![0-9A-Za-z])"
)
_HASH_BEFORE, _HASH_AFTER = re.compile(rb"[0-9A-Fa-f-]*\Z"), re.compile(rb"[0-9A-Fa-f-]*")
_HASH_DIGITS = 32  # a run of hexadecimal digits this long is a hash or a UUID
_FIRST_YEAR = 1900


def numbers_in(data: bytes) -> Iterator[PersonalDataMatch]:
    """Every number in `data`, also in Base64, in no particular order; digits inside a hash or UUID are left out."""
    yield from _written(data)
    for run in base64_runs(data):
        for match in _written(run.decoded):
            yield PersonalDataMatch(match.kind, run.offset_of(match.offset))


def id_or_phone(number: int) -> PersonalDataKind | None:
    """The kind of an integer that is an ID number or a mobile number."""
    text = str(number)
    if _MOBILE.fullmatch(text):
        return PersonalDataKind.PHONE_NUMBER
    return PersonalDataKind.ID_NUMBER if _is_id(text) else None


def _written(data: bytes) -> Iterator[PersonalDataMatch]:
    for run in digit_runs(data):
        for kind, start in _kinds(run, data):
            if not (run.plain and _is_hash(data, run.offsets[start])):
                yield PersonalDataMatch(kind, run.offsets[start])
    for kind, start in (*_documents(data), *_named_documents(data)):
        if not _is_hash(data, start):
            yield PersonalDataMatch(kind, start)


def _documents(data: bytes) -> Iterator[tuple[PersonalDataKind, int]]:
    """Numbers of Chinese passports and permits, which begin with a letter, and where they begin."""
    for found in _DOCUMENT.finditer(data):
        if data[max(0, found.start() - 1) : found.start()].isalnum():
            continue
        if _PASSPORT.fullmatch(found.group()):
            yield PersonalDataKind.PASSPORT, found.start()
        elif _PERMIT.fullmatch(found.group()):
            yield PersonalDataKind.PERMIT, found.start()


def _named_documents(data: bytes) -> Iterator[tuple[PersonalDataKind, int]]:
    """Numbers after the word for a passport or permit, and where they begin."""
    lower = data.lower()
    for kind, names in ((PersonalDataKind.PASSPORT, _PASSPORT_NAMES), (PersonalDataKind.PERMIT, _PERMIT_NAMES)):
        for name in names:
            at = lower.find(name)
            while at >= 0:
                if named := _NAMED.match(data, at + len(name)):
                    yield kind, named.start("number")
                at = lower.find(name, at + 1)


def _kinds(run: DigitRun, data: bytes) -> Iterator[tuple[PersonalDataKind, int]]:
    """The numbers in `run` and where each begins in its text."""
    text, spans = run.text, []
    for pattern in (_ID_GLUED, _ID_GROUPED):
        for found in pattern.finditer(text):
            start, end = found.span(1)
            if _is_id(_digits(found[1])) and (start, end) not in spans:
                spans.append((start, end))
                yield PersonalDataKind.ID_NUMBER, start
    for found in _MOBILE.finditer(text):
        inside = any(start <= found.start() < end for start, end in spans)
        if not inside and not _is_fraction(text, found.start()):
            yield PersonalDataKind.PHONE_NUMBER, found.start()
    for found in _OLD_ID.finditer(text):
        at = run.offsets[found.start()]
        if _has_birth_date(found) and _MENTIONS_ID.search(data[max(0, at - CONTEXT_BYTES) : at]):
            yield PersonalDataKind.OLD_ID_NUMBER, found.start()


def _digits(text: str) -> str:
    return re.sub("[ .-]", "", text)


def _is_id(text: str) -> bool:
    try:
        number = checked_id_number(text)
    except InvalidNumber:
        return False
    return _FIRST_YEAR <= birth_date(number).year <= date.today().year  # noqa: DTZ011 - a year


def _has_birth_date(old_id: re.Match[str]) -> bool:
    year, month, day = map(int, old_id.groups())
    try:
        date(_FIRST_YEAR + year, month, day)
    except ValueError:
        return False
    return True


def _is_fraction(text: str, start: int) -> bool:
    """Whether the digits are the fraction of a number below one, as in a measured value."""
    return text[:start].endswith("0.") and not text[: start - 2][-1:].isdigit()


def _is_hash(data: bytes, start: int) -> bool:
    before = _HASH_BEFORE.search(data, max(0, start - CONTEXT_BYTES), start)
    after = _HASH_AFTER.match(data, start, start + CONTEXT_BYTES)
    run = (before.group() if before else b"") + (after.group() if after else b"")
    return len(run) >= _HASH_DIGITS and any(digit in b"abcdefABCDEF" for digit in run)
