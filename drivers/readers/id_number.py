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
    """Whether `text` has the pattern of an ID number; date and check digit are not checked."""
    return SHAPE.fullmatch(text) is not None


def check_digit(digits: str) -> str:
    """Check digit of the first 17 digits."""
    return CHECK_DIGITS[sum(int(digit) * weight for digit, weight in zip(digits, WEIGHTS, strict=True)) % 11]


def date_from_digits(digits: str) -> date:
    """The date in eight digits, YYYYMMDD. Raises ValueError."""
    return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))


def birth_date(number: str) -> date:
    """The date of birth in an ID number. Raises ValueError."""
    return date_from_digits(number[6:14])


def normalised_id_number(text: str) -> str:
    """The number with `X` in upper case. Raises CodeMalformed for a wrong pattern, date of birth or check digit."""
    if not looks_like_id_number(text):
        raise CodeMalformed("an ID number must have 17 digits and a check digit")
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
