"""CloudEvents 1.0 over MQTT 5 in binary mode: attributes are user properties, the body is JSON."""

from __future__ import annotations

import re
import uuid
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar, cast

import msgspec

from sync.contract.channels import MESSAGE_TYPES, SpokenMessage
from sync.contract.decoding import decoded
from sync.errors import BadMessage

CONTENT_TYPE = "application/json"
SPEC_VERSION = "1.0"
_ATTRIBUTES = ("specversion", "id", "source", "type", "time")
# Extension attributes: the hash of a ledger record (see `contract.chain`), and the compression of the body.
_EXTENSIONS = ("chain", "contentencoding")
_CHAIN = re.compile("[0-9a-f]{64}")
_DEFLATE = "deflate"
_UNPACKED_LIMIT_BYTES = 8_000_000
_DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in MESSAGE_TYPES.items()}

AnyMessage = SpokenMessage
T = TypeVar("T", bound=AnyMessage)


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvent; `kind` is its type. `body` is JSON with personal data, so `repr` omits it.

    `chain` is the hash of a ledger record, 64 hex digits; boxes before 0.2 send none. `packed`: the body is deflated on
    the wire, for receivers that announced support.
    """

    id: str
    source: str
    kind: str
    time: datetime
    body: bytes = field(repr=False)
    chain: str | None = None
    packed: bool = False

    def user_properties(self) -> tuple[tuple[str, str], ...]:
        """The attributes as MQTT user properties."""
        attributes = (
            ("specversion", SPEC_VERSION),
            ("id", self.id),
            ("source", self.source),
            ("type", self.kind),
            ("time", self.time.astimezone(UTC).isoformat().replace("+00:00", "Z")),
        )
        chain = (("chain", self.chain),) if self.chain is not None else ()
        return (*attributes, *chain, *((("contentencoding", _DEFLATE),) if self.packed else ()))

    def payload(self) -> bytes:
        """The body as sent on the wire."""
        return zlib.compress(self.body) if self.packed else self.body

    @classmethod
    def from_wire(
        cls, content_type: str | None, user_properties: Iterable[tuple[str, str]], body: bytes, *, packs: bool = True
    ) -> Event:
        """The event of one MQTT message; unknown attributes are ignored. Raises BadMessage.

        `packs`: the body may be deflated.
        """
        if content_type != CONTENT_TYPE:
            raise BadMessage(f"the content type must be {CONTENT_TYPE}")
        given = [(name, value) for name, value in user_properties if name in _ATTRIBUTES or name in _EXTENSIONS]
        attributes = dict(given)
        if len(attributes) != len(given) or not attributes.keys() >= set(_ATTRIBUTES):
            raise BadMessage(f"each of {', '.join(_ATTRIBUTES)} must be given once")
        if attributes["specversion"] != SPEC_VERSION:
            raise BadMessage(f"the CloudEvents version must be {SPEC_VERSION}")
        chain, encoding = (attributes.get(name) for name in _EXTENSIONS)
        if chain is not None and not _CHAIN.fullmatch(chain):
            raise BadMessage("the chain of a record must be 64 hex digits")
        if encoding is not None and not packs:
            raise BadMessage("the body must not be packed here")
        return cls(
            id=attributes["id"],
            source=attributes["source"],
            kind=attributes["type"],
            time=_instant(attributes["time"]),
            body=body if encoding is None else _unpacked(encoding, body),
            chain=chain,
            packed=encoding is not None,
        )

    @classmethod
    def of(
        cls,
        message: AnyMessage,
        source: str,
        *,
        event_id: str | None = None,
        time: datetime | None = None,
        packed: bool = False,
    ) -> Event:
        """An event with `message`; `event_id` defaults to a random id, `time` to now."""
        return cls(
            id=event_id or uuid.uuid4().hex,
            source=source,
            kind=message.TYPE,
            time=time or datetime.now(UTC),
            body=msgspec.json.encode(message),
            packed=packed,
        )

    def message(self, *expected: type[T]) -> T:
        """The message of the event, of one of the `expected` types. Raises BadMessage, which does not quote it."""
        if self.kind not in {kind.TYPE for kind in expected}:
            raise BadMessage(f"type {self.kind[:60]!r} is not expected here")
        return cast(T, decoded(self.kind, _DECODERS[self.kind], self.body))


def _unpacked(encoding: str, body: bytes) -> bytes:
    if encoding != _DEFLATE:
        raise BadMessage(f"the content encoding must be {_DEFLATE}")
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(body, _UNPACKED_LIMIT_BYTES)
    except zlib.error as exc:
        raise BadMessage("the body is not valid deflate data") from exc
    if not inflate.eof:
        raise BadMessage(f"a packed body must be complete and below {_UNPACKED_LIMIT_BYTES} bytes")
    return plain


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as exc:
        raise BadMessage("the time of an event must be RFC 3339") from exc
    if instant.tzinfo is None:
        raise BadMessage("the time of an event must include its UTC offset")
    return instant
