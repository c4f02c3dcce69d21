"""Sends and receives CloudEvents over a connection, with QoS, retention and expiry from the rule of the channel."""

from __future__ import annotations

from dataclasses import replace

from sync.contract.channels import CHANNEL_RULES, ChannelRule, Direction
from sync.contract.envelope import CONTENT_TYPE, Event
from sync.contract.topics import Channel, Topic
from sync.errors import BadMessage
from sync.mqtt.connection import Connection
from sync.mqtt.packets import Message, Properties, Will, publish_bytes


async def publish_event(
    connection: Connection, topic: Topic, event: Event, *, correlation: bytes | None = None
) -> None:
    """Publish `event` according to the rule of its channel. Raises PublishRefused, LinkLost."""
    rule = CHANNEL_RULES[topic.channel]
    properties = replace(_properties(event, rule), correlation=correlation)
    await connection.publish(str(topic), event.payload(), qos=rule.qos, retain=rule.retained, properties=properties)


def fits(connection: Connection, topic: Topic, event: Event) -> bool:
    """Whether the broker accepts a message of this size."""
    properties = _properties(event, CHANNEL_RULES[topic.channel])
    return publish_bytes(str(topic), event.payload(), properties) <= connection.max_packet_bytes


async def ask(connection: Connection, question: Topic, event: Event, *, budget_s: float) -> Event:
    """Send `event` and return the answer from the answer channel of the same box.

    Raises NoAnswer, LinkLost, BadMessage.
    """
    answer = await connection.request(
        str(question),
        event.payload(),
        answer_topic=str(replace(question, channel=Channel.ANSWER)),
        timeout_s=budget_s,
        properties=_properties(event, CHANNEL_RULES[question.channel]),
    )
    return decode_event(answer)


def decode_event(message: Message, sender: Direction = Direction.DOWN) -> Event:
    """The CloudEvent in `message`, of the platform (DOWN) or of a box (UP). Raises BadMessage.

    A body of a box above the limit of its channel is not read, and a deflated one only where the contract allows it.
    """
    rule = CHANNEL_RULES[topic_from(message).channel]
    if sender is Direction.UP and len(message.body) > rule.limit_bytes:
        raise BadMessage(f"the body has more than {rule.limit_bytes} bytes")
    return Event.from_wire(
        message.properties.content_type, message.properties.user, message.body, packs=rule.packs is sender
    )


def topic_from(message: Message) -> Topic:
    """The topic of `message`. Raises BadMessage."""
    return Topic.parse(message.topic)


def box_from(topic: Topic) -> str:
    """The box of `topic`. Raises BadMessage for a channel of a district."""
    if topic.box is None:
        raise BadMessage("topic: a district channel has no box")
    return topic.box


def will(topic: Topic, event: Event, delay_s: int) -> Will:
    """An MQTT will that publishes `event` on `topic`."""
    rule = CHANNEL_RULES[topic.channel]
    return Will(str(topic), event.payload(), rule.qos, rule.retained, _properties(event, rule), delay_s)


def _properties(event: Event, rule: ChannelRule) -> Properties:
    return Properties(content_type=CONTENT_TYPE, user=event.user_properties(), expiry_s=rule.expiry_s)
