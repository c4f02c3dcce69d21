"""Generates the content of `sync/contract/asyncapi.yaml` from the code; run as a module it rewrites the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml

from sync.contract import records
from sync.contract.channels import CHANNEL_RULES, MESSAGE_TYPES, ChannelRule, Direction
from sync.contract.envelope import CONTENT_TYPE, SPEC_VERSION
from sync.contract.health import HealthStatus
from sync.contract.messages import DirectoryPage, DirectoryRequest
from sync.contract.orders import ORDER_TYPES
from sync.contract.signed import Order
from sync.contract.topics import DISTRICT_CHANNELS, NAME_PATTERN, ROOT, Channel

PATH = Path(records.__file__).with_name("asyncapi.yaml")
SCHEMA = "#/components/schemas/{name}"
ACTIONS = {Direction.UP: ("send",), Direction.DOWN: ("receive",), Direction.BOTH: ("send", "receive")}
PARAMETERS = {
    "district": f"Name of the district, {NAME_PATTERN}.",
    "box": f"Name of the box, {NAME_PATTERN}.",
    "command": f"Name of the command, {NAME_PATTERN}.",
}


def document() -> dict[str, Any]:
    """The complete document, from the perspective of the box."""
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Sentinel to city",
            "version": "1.2.0",
            "description": (
                "MQTT 5 between the boxes of a district and its platform, from the perspective of the box. Every"
                " message is a CloudEvent in binary mode: the attributes are MQTT user properties, the body is JSON."
                " The Ed25519 signature of an order covers the line `sentinel/v1 order` followed by the bytes of the"
                " field `order`."
            ),
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {channel.value: channel_entry(channel, rule) for channel, rule in CHANNEL_RULES.items()},
        "operations": {
            f"{action}{channel.capitalize()}": operation(channel, rule, action)
            for channel, rule in CHANNEL_RULES.items()
            for action in ACTIONS[rule.direction]
        },
        "components": {
            "messages": {kind.__name__: message(name, kind) for name, kind in MESSAGE_TYPES.items()},
            "schemas": {"CloudEvent": cloud_event(), **schemas()},
        },
    }


def address(channel: Channel) -> str:
    if channel in DISTRICT_CHANNELS:
        return f"{ROOT}/{{district}}/{channel}"
    return f"{ROOT}/{{district}}/{{box}}/{channel}" + ("/{command}" if channel is Channel.COMMAND else "")


def channel_entry(channel: Channel, rule: ChannelRule) -> dict[str, Any]:
    where = address(channel)
    return {
        "address": where,
        "parameters": {name: {"description": text} for name, text in PARAMETERS.items() if f"{{{name}}}" in where},
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"} for kind in rule.messages},
    }


def operation(channel: Channel, rule: ChannelRule, action: str) -> dict[str, Any]:
    kinds = rule.messages
    if rule.direction is Direction.BOTH:
        kinds = (DirectoryRequest,) if action == "send" else (DirectoryPage,)
    binding: dict[str, Any] = {"qos": rule.qos, "retain": rule.retained, "bindingVersion": "0.2.0"}
    if rule.expiry_s is not None:
        binding["messageExpiryInterval"] = rule.expiry_s
    made: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{kind.__name__}"} for kind in kinds],
        "bindings": {"mqtt": binding},
    }
    if channel is Channel.QUERY:
        made["reply"] = {"channel": {"$ref": f"#/channels/{Channel.ANSWER}"}}
    return made


def message(name: str, kind: type) -> dict[str, Any]:
    return {
        "name": name,
        "contentType": CONTENT_TYPE,
        "headers": {
            "allOf": [{"$ref": SCHEMA.format(name="CloudEvent")}, {"properties": {"type": {"const": name}}}],
        },
        "payload": {"$ref": SCHEMA.format(name=kind.__name__)},
    }


def cloud_event() -> dict[str, Any]:
    return {
        "description": "CloudEvents attributes, as MQTT user properties.",
        "type": "object",
        "required": ["specversion", "id", "source", "type", "time"],
        "properties": {
            "specversion": {"const": SPEC_VERSION},
            "id": {"type": "string", "description": "Of a record: box/epoch/seq."},
            "source": {"type": "string", "format": "uri-reference"},
            "type": {"type": "string"},
            "time": {"type": "string", "format": "date-time"},
            "chain": {
                "type": "string",
                "pattern": "^[0-9a-f]{64}$",
                "description": "Extension, on ledger records: the hash of the record in the hash chain.",
            },
            "contentencoding": {
                "const": "deflate",
                "description": "Extension, on directory pages that are deflated at the request of the box.",
            },
        },
    }


def schemas() -> dict[str, Any]:
    _, components = msgspec.json.schema_components(
        [*MESSAGE_TYPES.values(), HealthStatus, Order, *ORDER_TYPES.values()], ref_template=SCHEMA
    )
    # These fields contain raw JSON, so msgspec does not know their types.
    components["Signed"]["properties"]["order"] = {"$ref": SCHEMA.format(name="Order")}
    components["Order"]["properties"]["body"] = {
        "anyOf": [{"$ref": SCHEMA.format(name=kind.__name__)} for kind in ORDER_TYPES.values()]
    }
    components["BacklogEntry"]["properties"]["data"] = {
        "anyOf": [{"$ref": SCHEMA.format(name=kind.__name__)} for kind in records.RECORD_TYPES.values()]
    }
    components["DirectoryOp"]["properties"]["status"] = {
        "anyOf": [{"$ref": SCHEMA.format(name="HealthStatus")}, {"type": "null"}]
    }
    plain: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(components).replace(rb"\\Z", b"$")
    )  # `$` of ECMA 262
    return dict(sorted(plain.items()))


def write() -> None:
    text = yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120)
    PATH.write_text(
        "# Generated by `python -m tests.sync.contract.contract_document`; a test checks that it matches the code.\n"
        + text
    )


if __name__ == "__main__":
    write()
