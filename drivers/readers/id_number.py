"""Citizen ID numbers by GB 11643-1999: 17 digits and a check digit by ISO 7064 MOD 11-2 (confidence V2)."""

from __future__ import annotations

import re
from datetime import date

from drivers.readers.errors import CodeMalformed

WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CHECK_DIGITS = "10X98765432"
SHAPE = re.compile(r"[1-9][0-9]{16}[0-9Xx]")
FIRST_YEAR = 1800  # the standard's own example was born in 1880


def looks_like_id_number(text: str) -> bool:
    """Whether `text` has the shape of an ID number, right or wrong."""
    return SHAPE.fullmatch(text) is not None


def check_digit(digits: str) -> str:
    """Check digit of the first 17 digits."""
    return CHECK_DIGITS[sum(int(digit) * weight for digit, weight in zip(digits, WEIGHTS, strict=True)) % 11]


def birth_date(number: str) -> date:
    """The date of birth in a normalised number."""
    return date(int(number[6:10]), int(number[10:12]), int(number[12:14]))


def normalised_id_number(text: str) -> str:
    """The number with its `X` in upper case; raises CodeMalformed for a wrong shape, date of birth or check digit."""
    if not looks_like_id_number(text):
        raise CodeMalformed("an ID number has 17 digits and a check digit")
    number = text.upper()
    try:
        born = birth_date(number)
    except ValueError:
        raise CodeMalformed("the date of birth does not exist") from None
    if born.year < FIRST_YEAR:
        raise CodeMalformed("the date of birth is too early")
    if check_digit(number[:17]) != number[17]:
        raise CodeMalformed("the check digit is wrong")
    return number
