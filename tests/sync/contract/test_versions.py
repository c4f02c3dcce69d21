"""Boxes and platforms of adjacent versions are compatible, and invalid messages are rejected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.contract.channels import MESSAGE_TYPES
from sync.contract.envelope import Event
from sync.contract.messages import Backlog, DirectoryPage, QueryAnswer
from sync.contract.signed import Signed
from sync.errors import BadMessage
from sync.mqtt.connection import Connection
from sync.mqtt.packets import Properties
from sync.platform.records.batch import Batch
from tests.sync.city import Mosquitto, a_box, a_platform, eventually, link_settings, mixed
from tests.sync.contract.asyncapi import validator_of
from tests.sync.strategies import any_message
from tests.sync.test_city_link import settled

THOROUGH = settings(max_examples=200, suppress_health_check=list(HealthCheck))
NONSENSE = st.sampled_from([None, True, -1, 1.5, "", "x", [], {}, [None], 10**20])
# These contain JSON that is decoded later, record by record, so that an invalid record does not affect others.
READ_LATER = (Backlog, DirectoryPage, Signed)


def decoded(message: Any, body: Any) -> Any:
    kind = type(message)
    return Event("1", "demo", kind.TYPE, None, msgspec.json.encode(body)).message(kind)  # type: ignore[arg-type]


def plain(message: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(message))


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in `node` with each of its keys."""
    keys = node.keys() if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield node, key
        yield from places(node[key])


@THOROUGH
@given(any_message(), st.data())
def test_the_code_rejects_what_the_document_forbids(message: Any, data: st.DataObject) -> None:
    if isinstance(message, READ_LATER):
        return
    body = plain(message)
    container, key = data.draw(st.sampled_from(list(places(body))))
    if isinstance(container, dict) and data.draw(st.booleans()):
        del container[key]
    else:
        container[key] = data.draw(NONSENSE)
    schema = validator_of(f"#/components/schemas/{type(message).__name__}")
    try:
        decoded(message, body)
    except BadMessage:
        return
    assert list(schema.iter_errors(body)) == []


@THOROUGH
@given(any_message())
def test_fields_of_the_next_version_are_ignored(message: Any) -> None:
    if isinstance(message, READ_LATER):
        return
    body = plain(message)
    for field in message.__struct_fields__:
        if isinstance(getattr(message, field), msgspec.Struct):
            body[field]["new_in_next_version"] = [1]
    assert decoded(message, {**body, "new_in_next_version": {"x": [1]}}) == decoded(message, body)


def test_fields_of_newer_versions_are_optional() -> None:
    """A field with a default was added later; the first version of each message still decodes."""
    optional = {
        kind: [field.name for field in msgspec.structs.fields(kind) if not field.required]
        for kind in MESSAGE_TYPES.values()
        if kind is not QueryAnswer  # its status is there exactly when somebody was found
    }
    assert any(optional.values())

    @THOROUGH
    @given(any_message().filter(lambda message: type(message) in optional))
    def check(message: Any) -> None:
        body = plain(message)
        for name in optional[type(message)]:
            body.pop(name, None)
        decoded(message, body)

    check()


async def test_acknowledgements_without_hashes_are_accepted(
    tmp_path: Path, broker: Mosquitto, monkeypatch: Any
) -> None:
    """Platforms before 0.3 send an `Ack` without `heads`."""
    acks = Batch.acks

    def as_before(batch: Batch, pace_of: Any) -> Iterator[Any]:
        return ((box, msgspec.structs.replace(ack, heads=())) for box, ack in acks(batch, pace_of))

    monkeypatch.setattr(Batch, "acks", as_before)
    async with (
        a_platform(tmp_path / "platform", broker.url) as platform,
        a_box(tmp_path / "box", link_settings(broker.url)) as box,
    ):
        await box.ledger.append_all(mixed(20))
        await settled(platform, box, 20)


async def test_boxes_of_older_and_newer_versions_are_served(
    tmp_path: Path, broker: Mosquitto, monkeypatch: Any
) -> None:
    """One box from before 0.2 without hashes, and one from a newer version with unknown attributes."""
    publish = Connection.publish

    async def changed(self: Connection, topic: str, body: bytes, *, properties: Properties, **more: Any) -> None:
        user = (*(each for each in properties.user if each[0] != "chain"), ("traceparent", "00"))
        again = Properties(properties.content_type, user, properties.response_topic, properties.correlation)
        await publish(self, topic, body, properties=again, **more)

    monkeypatch.setattr(Connection, "publish", changed)
    async with (
        a_platform(tmp_path / "platform", broker.url) as platform,
        a_box(tmp_path / "box", link_settings(broker.url)) as box,
    ):
        for record in mixed(10):
            await box.ledger.append(record)
        await eventually(box.all_acknowledged)
        await settled(platform, box, 10)
