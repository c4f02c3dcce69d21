"""Citizen ID numbers by GB 11643-1999: 17 digits and a check digit by ISO 7064 MOD 11-2 (confidence V2).

Eight of the digits are the date of birth. Permits of residents of Hong Kong, Macau and Taiwan and foreigners' cards
since 2023 have the same form.
"""

from __future__ import annotations

import re
from datetime import date

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK_DIGITS = "10X98765432"
_SHAPE = re.compile("[1-9][0-9]{16}[0-9Xx]")
_FIRST_YEAR = 1800  # the standard's own example was born in 1880


class InvalidNumber(ValueError):
    """A text is not the number of a document; the message gives the reason without the number."""


class WrongCheckDigit(InvalidNumber):
    """The check digit is not that of the other digits."""


def looks_like_id_number(text: str) -> bool:
    """Whether `text` has the pattern of an ID number; date and check digit are not checked."""
    return _SHAPE.fullmatch(text) is not None


def check_digit(digits: str) -> str:
    """Check digit of the first 17 digits."""
    return _CHECK_DIGITS[sum(int(digit) * weight for digit, weight in zip(digits, _WEIGHTS, strict=True)) % 11]


def date_from_digits(digits: str) -> date:
    """The date in eight digits, YYYYMMDD. Raises ValueError."""
    return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))


def birth_date(number: str) -> date:
    """The date of birth in an ID number. Raises ValueError."""
    return date_from_digits(number[6:14])


def checked_id_number(text: str) -> str:
    """The number with `X` in upper case. Raises InvalidNumber for a wrong pattern, date of birth or check digit."""
    if not looks_like_id_number(text):
        raise InvalidNumber("an ID number must have 17 digits and a check digit")
    number = text.upper()
    try:
        born = birth_date(number)
    except ValueError:
        raise InvalidNumber("the date of birth does not exist") from None
    if born.year < _FIRST_YEAR:
        raise InvalidNumber("the date of birth is too early")
    if check_digit(number[:17]) != number[17]:
        raise WrongCheckDigit("the check digit is wrong")
    return number
