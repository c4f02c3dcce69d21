"""The contract document matches the code."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from sync.contract.topics import Channel, Topic
from tests.sync.contract.asyncapi import WRITTEN, validator_of
from tests.sync.contract.contract_document import document
from tests.sync.strategies import any_message


def payload_validator(name: str) -> Draft202012Validator:
    return validator_of(f"#/components/schemas/{name}")


def test_document_and_code_are_equal() -> None:
    assert document() == WRITTEN, "run python -m tests.sync.contract.contract_document"


def test_all_references_resolve() -> None:
    found = []

    def visit(node: Any) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                if key == "$ref":
                    target: Any = WRITTEN
                    for step in value.removeprefix("#/").split("/"):
                        target = target[step]
                    found.append(target)
                else:
                    visit(value)
        elif isinstance(node, list):
            for each in node:
                visit(each)

    visit(WRITTEN)
    assert len(found) > 100
    assert all(found)


def test_addresses_are_the_topics() -> None:
    for name, channel in WRITTEN["channels"].items():
        address = channel["address"]
        filled = re.sub(r"\{(\w+)\}", lambda found: f"some-{found.group(1)}", address)
        topic = Topic.parse(filled)
        assert topic.channel is Channel(name)
        assert str(topic) == filled


@settings(max_examples=100)
@given(any_message())
def test_every_message_satisfies_its_schema(message: Any) -> None:
    body = msgspec.json.decode(msgspec.json.encode(message))
    assert list(payload_validator(type(message).__name__).iter_errors(body)) == []


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda body: body.pop(name)


@pytest.mark.parametrize(
    ("kind", "body", "spoil"),
    [
        ("Ack", {"epoch": "0" * 16, "ranges": [[1, 2]]}, lambda body: body.update(epoch="short")),
        ("Ack", {"epoch": "0" * 16, "ranges": [[1, 2]]}, lambda body: body.update(ranges=[[0, 2]])),
        ("Query", {"person_key": "0" * 64}, lambda body: body.update(person_key="999999199001010016")),
        ("PlatformState", {"online": True}, without("online")),
        ("DirectoryRequest", {"generation": "", "cursor": 0}, lambda body: body.update(cursor=-1)),
    ],
)
def test_invalid_messages_are_rejected(
    kind: str, body: dict[str, Any], spoil: Callable[[dict[str, Any]], None]
) -> None:
    validator = payload_validator(kind)
    validator.validate(body)
    spoil(body)
    assert list(validator.iter_errors(body))
