"""Parses the text of a scanned code: one provider per kind of code, chosen by name.

The public health-code services no longer exist, so none is built in; add a city's own as a row of `PROVIDERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from drivers.errors import BadSetting
from drivers.readers.errors import CodeMalformed, CodeUnknown
from drivers.readers.id_number import normalised_id_number
from sync.id_number import birth_date, looks_like_id_number

SIMULATED_PREFIX = "SHC1:"
MAX_TIME_DIGITS = 11


class CodeKind(StrEnum):
    """Kind of credential."""

    CODE = "code"  # a health code
    CARD = "card"  # a document, or its number


@dataclass(frozen=True, slots=True)
class ParsedCode:
    """Content of a code; times are Unix seconds, None where the code does not contain them."""

    kind: CodeKind
    number: str = field(repr=False)
    issued_at_s: int | None = None
    expires_at_s: int | None = None
    born: date | None = field(repr=False, default=None)


Provider = Callable[[str], ParsedCode]
"""Parses the text of a code. Raises CodeUnknown for a code of another kind, CodeMalformed for an invalid one."""


def document_number(text: str) -> ParsedCode:
    """A bare ID number."""
    if not looks_like_id_number(text):
        raise CodeUnknown("not an ID number")
    return _parsed_code(CodeKind.CARD, text)


def simulated(text: str) -> ParsedCode:
    """The code of the demo city, `SHC1:<ID number>:<expiry in Unix seconds>`."""
    if not text.startswith(SIMULATED_PREFIX):
        raise CodeUnknown("not a simulated health code")
    number, separator, expiry = text.removeprefix(SIMULATED_PREFIX).partition(":")
    if not separator or not (expiry.isascii() and expiry.isdecimal()) or len(expiry) > MAX_TIME_DIGITS:
        raise CodeMalformed("a simulated code must end with its expiry time")
    return _parsed_code(CodeKind.CODE, number, expires_at_s=int(expiry))


def _parsed_code(kind: CodeKind, text: str, expires_at_s: int | None = None) -> ParsedCode:
    number = normalised_id_number(text)
    return ParsedCode(kind, number, expires_at_s=expires_at_s, born=birth_date(number))


PROVIDERS: dict[str, Provider] = {"document-number": document_number, "simulated": simulated}


def make_code_provider(names: Iterable[str]) -> Provider:
    """A provider that tries the named providers in order. Raises BadSetting for an unknown name."""
    chosen = list(names)
    unknown = [name for name in chosen if name not in PROVIDERS]
    if unknown or not chosen:
        raise BadSetting(f"code providers {unknown} are not known; accepted: some of {', '.join(sorted(PROVIDERS))}")
    providers = [PROVIDERS[name] for name in chosen]

    def parse(text: str) -> ParsedCode:
        for provider in providers:
            try:
                return provider(text.strip())
            except CodeUnknown:
                continue
        raise CodeUnknown("no configured provider supports this kind of code")

    return parse
