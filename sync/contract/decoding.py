"""Decodes received JSON; every error becomes a BadMessage that does not quote the content."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from sync.errors import BadMessage

T = TypeVar("T")

# msgspec quotes an unknown word in its message; that word may be a person's number in the wrong field.
_QUOTED = re.compile(" '.*'", re.DOTALL)


def decoded(what: str, decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """The value of `decoder` for `body`. Raises BadMessage, whose text begins with `what`."""
    try:
        return decoder.decode(body)
    except RecursionError as exc:
        raise BadMessage(f"{what}: nested too deeply") from exc
    except UnicodeDecodeError as exc:
        raise BadMessage(f"{what}: not UTF-8") from exc
    except msgspec.DecodeError as exc:
        raise BadMessage(f"{what}: {_QUOTED.sub('', str(exc))}") from exc
