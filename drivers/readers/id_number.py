"""ID numbers in codes and on cards."""

from __future__ import annotations

from drivers.readers.errors import CodeMalformed
from sync.id_number import InvalidNumber, checked_id_number


def normalised_id_number(text: str) -> str:
    """The number with `X` in upper case. Raises CodeMalformed for a wrong pattern, date of birth or check digit."""
    try:
        return checked_id_number(text)
    except InvalidNumber as exc:
        raise CodeMalformed(str(exc)) from None
