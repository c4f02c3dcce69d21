"""CloudEvents 1.0 on MQTT 5, binary mode: attributes are user properties, the body is JSON."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar, cast

import msgspec

from sync.contract.lanes import MESSAGE_TYPES
from sync.contract.messages import Message
from sync.contract.records import Record
from sync.errors import BadMessage

CONTENT_TYPE = "application/json"
SPEC_VERSION = "1.0"
_ATTRIBUTES = ("specversion", "id", "source", "type", "time")
_DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in MESSAGE_TYPES.items()}

AnyMessage = Message | Record
T = TypeVar("T", bound=AnyMessage)


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvent, `kind` its type; `body` is JSON and about people, so `repr` leaves it out."""

    id: str
    source: str
    kind: str
    time: datetime
    body: bytes = field(repr=False)

    def user_properties(self) -> tuple[tuple[str, str], ...]:
        """The attributes as they travel beside the body."""
        return (
            ("specversion", SPEC_VERSION),
            ("id", self.id),
            ("source", self.source),
            ("type", self.kind),
            ("time", self.time.astimezone(UTC).isoformat().replace("+00:00", "Z")),
        )

    @classmethod
    def from_wire(cls, content_type: str | None, user_properties: Iterable[tuple[str, str]], body: bytes) -> Event:
        """The event in one MQTT message; unknown attributes are allowed and dropped. Raises BadMessage."""
        if content_type != CONTENT_TYPE:
            raise BadMessage(f"the content type must be {CONTENT_TYPE}")
        given = [(name, value) for name, value in user_properties if name in _ATTRIBUTES]
        attributes = dict(given)
        if len(attributes) != len(given) or set(attributes) != set(_ATTRIBUTES):
            raise BadMessage(f"each of {', '.join(_ATTRIBUTES)} must be given once")
        if attributes["specversion"] != SPEC_VERSION:
            raise BadMessage(f"the CloudEvents version must be {SPEC_VERSION}")
        return cls(attributes["id"], attributes["source"], attributes["type"], _instant(attributes["time"]), body)

    @classmethod
    def of(
        cls, message: AnyMessage, source: str, *, event_id: str | None = None, time: datetime | None = None
    ) -> Event:
        """`message` as an event; without `event_id` it gets a random one, without `time` the present."""
        return cls(
            id=event_id or uuid.uuid4().hex,
            source=source,
            kind=message.TYPE,
            time=time or datetime.now(UTC),
            body=msgspec.json.encode(message),
        )

    def message(self, *expected: type[T]) -> T:
        """The message inside, one of the `expected` types; raises BadMessage without quoting any of it."""
        if self.kind not in {kind.TYPE for kind in expected}:
            raise BadMessage(f"type {self.kind[:60]!r} is not expected here")
        try:
            return cast(T, _DECODERS[self.kind].decode(self.body))
        except msgspec.DecodeError as exc:
            raise BadMessage(f"{self.kind}: {exc}") from exc


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as exc:
        raise BadMessage("the time of an event must be RFC 3339") from exc
    if instant.tzinfo is None:
        raise BadMessage("the time of an event must name its offset")
    return instant
