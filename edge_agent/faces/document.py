"""A typed document number; it is never displayed, and only its hash is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from edge_agent.faces.errors import NumberUnread
from sync.contract.identity import birth_date, checked_number
from sync.id_number import InvalidNumber


@dataclass(frozen=True, slots=True)
class Document:
    """A document number, and the date of birth if the number contains it."""

    number: str = field(repr=False)
    born: date | None = field(repr=False)


def read_document(text: str) -> Document:
    """The document with the typed number. Raises NumberUnread, without the number in the message."""
    try:
        number = checked_number(text)
    except InvalidNumber as exc:
        raise NumberUnread(
            f"证件号有误，请核对后重新输入。Not a document number ({exc}): check it and type it again."
        ) from None
    return Document(number, birth_date(number))
