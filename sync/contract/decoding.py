"""JSON from the other end of the wire: whatever is wrong with it is a BadMessage that quotes nothing of it."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from sync.errors import BadMessage

T = TypeVar("T")

# msgspec repeats a word that it does not know, and that may be a person's number in the wrong place.
_QUOTED = re.compile(" '.*'", re.DOTALL)


def decoded(what: str, decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """What `decoder` makes of `body`; raises BadMessage, which begins with `what`."""
    try:
        return decoder.decode(body)
    except RecursionError as exc:
        raise BadMessage(f"{what}: nested too deeply") from exc
    except UnicodeDecodeError as exc:
        raise BadMessage(f"{what}: not UTF-8") from exc
    except msgspec.DecodeError as exc:
        raise BadMessage(f"{what}: {_QUOTED.sub('', str(exc))}") from exc
