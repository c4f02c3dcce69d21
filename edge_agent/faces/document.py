"""A typed document number; it is never displayed, and only its hash is stored."""

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
    """A document number, and the date of birth if the number contains it."""

    number: str = field(repr=False)
    born: date | None = field(repr=False)


def read_document(text: str) -> Document:
    """The document with the typed number. Raises NumberUnread, without the number in the message."""
    number = "".join(text.split()).upper()
    if _OTHER.fullmatch(number):
        return Document(number, None)
    try:
        parsed = document_number(number)
    except CodeError as exc:
        raise NumberUnread(
            f"证件号有误，请核对后重新输入。Not a document number ({exc}): check it and type it again."
        ) from None
    return Document(parsed.number, parsed.born)
