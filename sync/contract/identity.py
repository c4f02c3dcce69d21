"""Document numbers that people type, and person keys: the keyed hashes that replace them.

A citizen's number (GB 11643-1999) has 17 digits, of which eight are the date of birth, and a check digit by ISO 7064
MOD 11-2; permits of residents of Hong Kong, Macau and Taiwan and foreigners' cards since 2023 have the same form. Other
documents have no check digit that a public source describes: their length is checked.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from datetime import date

COMMUNITY_KEY_BYTES = 16  # at least
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK_DIGITS = "10X98765432"
_FIRST_YEAR = 1800  # the standard's own example was born in 1880
_CITIZEN = re.compile("[1-9][0-9]{16}[0-9X]")
_FOREIGNER_2017 = re.compile("[A-Z]{3}[0-9]{12}")
_OTHER = re.compile("(?=.*[0-9])[0-9A-Z]{6,11}")  # passports and travel permits
_TELEPHONE = re.compile("1[3-9][0-9]{9}")
_EXPONENT = re.compile("(?=.*[.+])[0-9.]+E[+]?[0-9]+")
_ZEROED = re.compile("[0-9]{15}000")
ZEROED = "the last three digits are 000, as a spreadsheet leaves a number of 18 digits"


class InvalidNumber(ValueError):
    """A text is not a document number; the message gives the reason without the number."""


def checked_number(text: str) -> str:
    """The number in `text` as it is hashed: without spaces, in upper case, full-width characters as ASCII.

    Raises InvalidNumber.
    """
    number = "".join(unicodedata.normalize("NFKC", text).split()).upper()
    if _CITIZEN.fullmatch(number):
        _check_citizen(number)
    elif (reason := _reason(number)) is not None:
        raise InvalidNumber(reason)
    return number


def birth_date(number: str) -> date | None:
    """The date of birth in a checked number, None if it contains none."""
    return _date(number) if _CITIZEN.fullmatch(number) else None


def is_zeroed(number: str) -> bool:
    """Whether the last three of 18 digits are zeros; by chance this is so for one valid number in ten thousand."""
    return _ZEROED.fullmatch(number) is not None


def _check_citizen(number: str) -> None:
    try:
        born = _date(number)
    except ValueError:
        raise InvalidNumber("the date of birth does not exist") from None
    if born.year < _FIRST_YEAR:
        raise InvalidNumber("the date of birth is too early")
    products = (int(digit) * weight for digit, weight in zip(number[:17], _WEIGHTS, strict=True))
    if number[17] != _CHECK_DIGITS[sum(products) % 11]:
        raise InvalidNumber(f"the check digit is wrong{f'; {ZEROED}' if is_zeroed(number) else ''}")


def _date(number: str) -> date:
    return date(int(number[6:10]), int(number[10:12]), int(number[12:14]))


def _reason(number: str) -> str | None:
    """Why `number`, which does not have the form of a citizen's number, is rejected; None if it is accepted."""
    if not number:
        return "missing"
    if len(number) == 15 and number.isdecimal():
        return "15 digits: a number without a check digit, invalid since 2013; use the number of 18 digits"
    if _EXPONENT.fullmatch(number):
        return "digits are lost to scientific notation: format the column as text"
    if _TELEPHONE.fullmatch(number):
        return "11 digits, as of a telephone"
    if _FOREIGNER_2017.fullmatch(number) or _OTHER.fullmatch(number):
        return None
    return "neither an ID number, which has seventeen digits and a check digit, nor a number of a passport or permit"


def normalise_number(number: str) -> str:
    """A document number as it is hashed: without spaces, in upper case (`x` and `X` are the same check digit)."""
    return "".join(number.split()).upper()


def person_key(community_key: bytes, number: str) -> str:
    """HMAC-SHA256 of the normalised `number` under `community_key`, as 64 hex digits.

    An unkeyed hash of an ID number can be enumerated in hours; the community key is stored outside every database.
    """
    if len(community_key) < COMMUNITY_KEY_BYTES:
        raise ValueError(f"the community key must have at least {COMMUNITY_KEY_BYTES} bytes")
    return hmac.new(community_key, normalise_number(number).encode(), hashlib.sha256).hexdigest()
