"""Document numbers that people type, and person keys: the keyed hashes that replace them.

Citizens' numbers have a check digit (`sync/id_number.py`). Other documents have none that a public source describes:
their length is checked.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from datetime import date

from sync import id_number
from sync.id_number import InvalidNumber, WrongCheckDigit, checked_id_number, looks_like_id_number

COMMUNITY_KEY_BYTES = 16  # at least
_FOREIGNER_2017 = re.compile("[A-Z]{3}[0-9]{12}")
_OTHER = re.compile("(?=.*[0-9])[0-9A-Z]{6,11}")  # passports and travel permits
_TELEPHONE = re.compile("1[3-9][0-9]{9}")
_EXPONENT = re.compile("(?=.*[.+])[0-9.]+E[+]?[0-9]+")
_ZEROED = re.compile("[0-9]{15}000")
ZEROED = "the last three digits are 000, as a spreadsheet leaves a number of 18 digits"


def checked_number(text: str) -> str:
    """The number in `text` as it is hashed: without spaces, in upper case, full-width characters as ASCII.

    Raises InvalidNumber.
    """
    number = "".join(unicodedata.normalize("NFKC", text).split()).upper()
    if looks_like_id_number(number):
        try:
            return checked_id_number(number)
        except WrongCheckDigit as exc:
            raise InvalidNumber(f"{exc}{f'; {ZEROED}' if is_zeroed(number) else ''}") from None
    if (reason := _reason(number)) is not None:
        raise InvalidNumber(reason)
    return number


def birth_date(number: str) -> date | None:
    """The date of birth in a checked number, None if it contains none."""
    return id_number.birth_date(number) if looks_like_id_number(number) else None


def is_zeroed(number: str) -> bool:
    """Whether the last three of 18 digits are zeros; by chance this is so for one valid number in ten thousand."""
    return _ZEROED.fullmatch(number) is not None


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
