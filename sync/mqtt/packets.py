"""Frozen values that go into and come out of an MQTT connection."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sync.mqtt.broker_address import BrokerAddress


@dataclass(frozen=True, slots=True)
class Properties:
    """MQTT 5 properties of one message that we use."""

    content_type: str | None = None
    user: tuple[tuple[str, str], ...] = ()
    response_topic: str | None = None
    correlation: bytes | None = None
    expiry_s: int | None = None

    def replace(self, *, response_topic: str | None, correlation: bytes | None) -> Properties:
        """The same with another way to answer."""
        return replace(self, response_topic=response_topic, correlation=correlation)


NO_PROPERTIES = Properties()


@dataclass(frozen=True, slots=True)
class Message:
    """One message that came in; `packet_id` is what an acknowledgement to the broker names."""

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


@dataclass(frozen=True, slots=True)
class ConnAck:
    """What CONNACK said: whether the broker kept our session, and how many PUBLISH may go without PUBACK."""

    session_present: bool
    window: int


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us `delay_s` after we vanish without a word."""

    topic: str
    body: bytes = field(repr=False)
    qos: int
    retained: bool
    properties: Properties
    delay_s: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """One filter; `no_local` spares us our own messages on a channel that goes both ways (not with `$share`)."""

    topic_filter: str
    qos: int = 1
    no_local: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """How to connect once. Sessions survive (`clean_start` False): mosquitto 2.0 never saves one begun clean."""

    broker: BrokerAddress
    client_id: str
    will: Will | None = None
    clean_start: bool = False
    session_expiry_s: int = 3600
    keepalive_s: int = 20
    window: int = 20  # our messages without PUBACK; more wait (paho slows down above 100)
    receive_maximum: int = 100  # the broker's messages without our PUBACK; more wait at the broker
    manual_ack: bool = False  # the reader calls `ack` itself, after its commit
    connect_timeout_s: float = 5.0
    reply_timeout_s: float = 10.0  # CONNACK, PUBACK, SUBACK; a silent broker is a lost one
