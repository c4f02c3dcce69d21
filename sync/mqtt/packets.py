"""Parameters and results of an MQTT connection, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sync.mqtt.broker_address import BrokerAddress


@dataclass(frozen=True, slots=True)
class Properties:
    """The MQTT 5 properties of one message that this product uses."""

    content_type: str | None = None
    user: tuple[tuple[str, str], ...] = ()
    response_topic: str | None = None
    correlation: bytes | None = None
    expiry_s: int | None = None

    def replace(self, *, response_topic: str | None, correlation: bytes | None) -> Properties:
        """A copy with another response topic and correlation data."""
        return replace(self, response_topic=response_topic, correlation=correlation)


NO_PROPERTIES = Properties()


@dataclass(frozen=True, slots=True)
class Message:
    """One received message; `packet_id` identifies it in the PUBACK."""

    topic: str
    body: bytes = field(repr=False)
    qos: int
    retained: bool
    properties: Properties
    packet_id: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The broker's answer to one PUBLISH or one filter: MQTT 5 reason code and its name."""

    code: int
    name: str

    @property
    def refused(self) -> bool:
        return self.code >= 0x80


UNLIMITED_BYTES = 5 + 268_435_455  # the largest packet of MQTT

_HEAD_BYTES = 5  # of every packet: its type, and the length of the rest at its longest


@dataclass(frozen=True, slots=True)
class ConnAck:
    """CONNACK: whether the broker kept the session, how many PUBLISH may be unacknowledged, and their largest size."""

    session_present: bool
    window: int
    max_packet_bytes: int = UNLIMITED_BYTES


def publish_bytes(topic: str, body: bytes, properties: Properties) -> int:
    """Size of a PUBLISH, at most 6 bytes too large: lengths are counted at their longest."""
    user = sum(5 + len(name.encode()) + len(value.encode()) for name, value in properties.user)
    texts = sum(3 + len(text.encode()) for text in (properties.content_type, properties.response_topic) if text)
    correlation = 0 if properties.correlation is None else 3 + len(properties.correlation)
    expiry = 0 if properties.expiry_s is None else 5
    packet_id, lengths = 2, 4
    return _HEAD_BYTES + 2 + len(topic.encode()) + packet_id + lengths + user + texts + correlation + expiry + len(body)


@dataclass(frozen=True, slots=True)
class Will:
    """The message that the broker publishes `delay_s` after the connection is lost without DISCONNECT."""

    topic: str
    body: bytes = field(repr=False)
    qos: int
    retained: bool
    properties: Properties
    delay_s: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """One topic filter; `no_local` excludes own messages on a bidirectional channel (not valid with `$share`)."""

    topic_filter: str
    qos: int = 1
    no_local: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """Parameters of one connection. `clean_start` is False because mosquitto 2.0 does not save a clean session."""

    broker: BrokerAddress
    client_id: str
    will: Will | None = None
    clean_start: bool = False
    session_expiry_s: int = 3600
    keepalive_s: int = 20
    window: int = 20  # sent messages without PUBACK; further ones wait (paho slows down above 100)
    receive_maximum: int = 100  # received messages without PUBACK; further ones wait at the broker
    max_packet_bytes: int | None = None  # the broker drops larger messages to this client; None: no limit
    manual_ack: bool = False  # the reader calls `ack` after its commit
    connect_timeout_s: float = 5.0
    reply_timeout_s: float = 10.0  # CONNACK, PUBACK, SUBACK; afterwards the connection is closed
