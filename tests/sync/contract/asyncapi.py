"""Checks messages against the contract document."""

from __future__ import annotations

import json
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from sync.contract.topics import Topic
from sync.mqtt.events import decode_event
from sync.mqtt.packets import Message
from tests.sync.contract.contract_document import PATH

WRITTEN: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))


def validator_of(reference: str) -> Draft202012Validator:
    """The validator of the schema at `reference`."""
    return Draft202012Validator({"$ref": reference, "components": WRITTEN["components"]})


def check_against_the_contract(message: Message) -> None:
    """Fail unless channel, QoS, retain, expiry, headers and payload match the document."""
    channel = Topic.parse(message.topic).channel
    headers = dict(message.properties.user)
    reference = next(
        each["$ref"]
        for each in WRITTEN["channels"][channel]["messages"].values()
        if WRITTEN["components"]["messages"][each["$ref"].rpartition("/")[2]]["name"] == headers["type"]
    )
    name = reference.rpartition("/")[2]
    for part, given in (("headers", headers), ("payload", json.loads(decode_event(message).body))):
        validator_of(f"#/components/messages/{name}/{part}").validate(given)
    bindings = [
        each["bindings"]["mqtt"]
        for each in WRITTEN["operations"].values()
        if {"$ref": f"#/channels/{channel}/messages/{name}"} in each["messages"]
    ]
    [binding] = bindings
    assert message.qos == binding["qos"]
    assert (message.properties.expiry_s is not None) == ("messageExpiryInterval" in binding)
    assert (message.properties.expiry_s or 0) <= binding.get("messageExpiryInterval", 0)
    assert message.properties.content_type == WRITTEN["components"]["messages"][name]["contentType"]
    assert not message.retained or binding["retain"]
