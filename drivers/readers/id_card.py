"""The text of a second-generation identity card: 256 bytes of UTF-16LE in fields of fixed width, padded with spaces.

Layouts: citizen V2; residence permit 'J' and permanent residence 'I' (2017) and 'Y' (2023) S1, distinguished by the
letter at byte 248. Error messages never contain data of a card.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

from drivers.contract import CardKind, CardRead
from drivers.readers.errors import CodeMalformed
from drivers.readers.id_number import normalised_id_number
from sync.id_number import date_from_digits

TEXT_BYTES = 256
TYPE_LETTER = slice(248, 250)
WITHOUT_END = "长期"
PADDING = " \0"
SEXES = {"1": "male", "2": "female", "0": "unknown", "9": "unknown"}

Widths = tuple[tuple[str, int], ...]

CITIZEN: Widths = (
    ("name", 30),
    ("sex", 2),
    ("nation", 4),
    ("birth", 16),
    ("address", 70),
    ("number", 36),
    ("authority", 30),
    ("valid_from", 16),
    ("valid_until", 16),
    ("reserve", 36),
)
PERMIT: Widths = (
    *CITIZEN[:-1],
    ("pass_number", 18),
    ("issue_count", 4),
    ("reserve_1", 6),
    ("type", 2),
    ("reserve_2", 6),
)
FOREIGNER_2017: Widths = (
    ("english_name", 120),
    ("sex", 2),
    ("number", 30),
    ("nationality", 6),
    ("name", 30),
    ("valid_from", 16),
    ("valid_until", 16),
    ("birth", 16),
    ("version", 4),
    ("authority", 8),
    ("type", 2),
    ("reserve", 6),
)
FOREIGNER_2023: Widths = (
    ("name", 30),
    ("sex", 2),
    ("changes", 4),
    ("birth", 16),
    ("english_name", 70),
    ("number", 36),
    ("reserve", 30),
    ("valid_from", 16),
    ("valid_until", 16),
    ("english_name_rest", 22),
    ("nationality", 6),
    ("type", 2),
    ("related_number", 6),
)


def _foreigner_number(shape: str) -> Callable[[str], str]:
    """Validator of a foreigner's number. Checks its pattern only; no source for its check digit was found."""

    def checked(text: str) -> str:
        if not re.fullmatch(shape, text.upper()):
            raise CodeMalformed("the number is not a valid foreigner's number")
        return text.upper()

    return checked


LAYOUTS: dict[str, tuple[CardKind, Widths, Callable[[str], str]]] = {
    "": (CardKind.CITIZEN, CITIZEN, normalised_id_number),
    "J": (CardKind.PERMIT, PERMIT, normalised_id_number),
    "I": (CardKind.FOREIGNER, FOREIGNER_2017, _foreigner_number("[A-Z0-9]{15}")),
    "Y": (CardKind.FOREIGNER, FOREIGNER_2023, _foreigner_number("[0-9]{17}[0-9X]")),
}


def read_card(text: bytes, at_s: float) -> CardRead:
    """Parse the text of a card. Raises CodeMalformed for an unknown layout or an invalid field."""
    if len(text) != TEXT_BYTES:
        raise CodeMalformed(f"the text of a card must have {TEXT_BYTES} bytes")
    kind, widths, number = _layout(_decoded(text[TYPE_LETTER]))
    padded = _split_fields(text, widths)
    fields = {name: value.strip(PADDING) for name, value in padded.items()}
    if fields["sex"] not in SEXES:
        raise CodeMalformed("unknown sex code")
    return CardRead(
        kind=kind,
        name=fields["name"],
        sex=SEXES[fields["sex"]],
        nation=fields["nation"] if kind is CardKind.CITIZEN else "",
        birth=_day(fields["birth"]),
        address=fields.get("address", ""),
        number=number(fields["number"]),
        authority=fields.get("authority", ""),
        valid_from=_day(fields["valid_from"]),
        valid_until=None if fields["valid_until"] == WITHOUT_END else _day(fields["valid_until"]),
        taken_at_s=at_s,
        english_name=(padded.get("english_name", "") + padded.get("english_name_rest", "")).strip(PADDING),
        nationality=fields.get("nationality", ""),
        pass_number=fields.get("pass_number", ""),
    )


def _layout(letter: str) -> tuple[CardKind, Widths, Callable[[str], str]]:
    """The layout for `letter`; a citizen's card has no letter there."""
    if not (letter.isascii() and letter.isalpha()):
        return LAYOUTS[""]
    if letter not in LAYOUTS:
        raise CodeMalformed("unknown kind of card")
    return LAYOUTS[letter]


def _split_fields(text: bytes, widths: Widths) -> dict[str, str]:
    fields: dict[str, str] = {}
    start = 0
    for name, width in widths:
        fields[name] = _decoded(text[start : start + width])
        start += width
    return fields


def _decoded(field: bytes) -> str:
    try:
        return field.decode("utf-16le")
    except UnicodeDecodeError:
        raise CodeMalformed("a field is not valid text") from None


def _day(text: str) -> date:
    if not (len(text) == 8 and text.isascii() and text.isdecimal()):
        raise CodeMalformed("a date must have eight digits")
    try:
        return date_from_digits(text)
    except ValueError:
        raise CodeMalformed("a date does not exist") from None
