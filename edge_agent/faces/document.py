"""The number of a document as somebody types it; it is never shown, and hashed away as soon as it was read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date

from drivers.readers.errors import CodeError
from drivers.readers.health_code import document_number
from edge_agent.faces.errors import NumberUnread

_OTHER = re.compile(r"[A-Z][A-Z0-9]{5,17}")  # permits and passports begin with a letter


@dataclass(frozen=True, slots=True)
class Document:
    """A number, and the day of birth where it is in it."""

    number: str = field(repr=False)
    born: date | None = field(repr=False)


def read_document(text: str) -> Document:
    """The document whose number was typed. Raises NumberUnread, which does not repeat it."""
    number = "".join(text.split()).upper()
    if _OTHER.fullmatch(number):
        return Document(number, None)
    try:
        number = document_number(number).number
    except CodeError as exc:
        raise NumberUnread(
            f"证件号有误，请核对后重新输入。Not a document number ({exc}): check it and type it again."
        ) from None
    return Document(number, date(int(number[6:10]), int(number[10:12]), int(number[12:14])))
