"""One MQTT 5 connection at packet level: the only file that uses paho and its callbacks.

paho runs on the event loop through its external-socket interface. Its thread, queue and reconnection are not used: the
thread supports descriptors below 1024 only, the queue is lost with the process, and the reconnection has no jitter.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Any, Protocol

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from sync.errors import BrokerUntrusted, LinkError, LinkLost, LinkRefused
from sync.mqtt.broker_address import TlsSocket
from sync.mqtt.packets import UNLIMITED_BYTES, ConnAck, Message, Options, Properties, Reply, Subscription
from sync.mqtt.peer_certificate import explain
from sync.mqtt.tls_errors import describe, rejects_our_certificate

_TICK_S = 1.0  # interval of paho's keep-alive check
_CLOSE_S = 1.0  # limit of sending DISCONNECT


class Listener(Protocol):
    """Callbacks of a connection, called on the event loop; they must not raise."""

    def on_reply(self, packet_id: int, replies: list[Reply]) -> None: ...

    def on_message(self, message: Message) -> None: ...

    def on_end(self, why: LinkError) -> None: ...


class Wire:
    """One connection: call `connect` once, then send; `listener` receives the rest. It cannot be reused."""

    def __init__(self, options: Options, listener: Listener) -> None:
        self._options = options
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._client = _paho_client(options)
        self._client.on_socket_open = self._on_open
        self._welcome: asyncio.Future[ConnAck] = self._loop.create_future()
        self._ended = asyncio.Event()
        self._socket: socket.socket | None = None
        self._opened: socket.socket | None = None  # the connected socket, kept after its end
        self._timer: asyncio.TimerHandle | None = None

    async def connect(self) -> ConnAck:
        """Connect and wait for CONNACK; raises LinkError."""
        # Name resolution, TCP and TLS block: a thread does them, and a thread cannot be cancelled.
        opening = self._loop.run_in_executor(None, self._open)
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(self._abandon)
            raise
        except ssl.SSLError as exc:
            why = await self._loop.run_in_executor(None, explain, exc, self._options.broker)
            raise (LinkRefused if rejects_our_certificate(exc) else BrokerUntrusted)(
                f"{self._options.broker}: {why}"
            ) from exc
        except OSError as exc:
            raise LinkLost(f"{self._options.broker}: {exc.strerror or exc}") from exc
        self._attach()
        try:
            async with asyncio.timeout(self._options.reply_timeout_s):
                return await self._welcome
        except TimeoutError:
            raise LinkLost(f"{self._options.broker}: no CONNACK") from None

    def publish(self, topic: str, body: bytes, qos: int, retain: bool, properties: Properties) -> int:
        """Send one PUBLISH; return its packet id. Raises LinkLost."""
        sent = self._client.publish(topic, body, qos, retain, _to_paho(properties, PacketTypes.PUBLISH))
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkLost(paho.error_string(sent.rc))
        return sent.mid

    def subscribe(self, subscriptions: tuple[Subscription, ...]) -> int:
        """Send one SUBSCRIBE; return its packet id. Raises LinkLost."""
        filters = [(each.topic_filter, SubscribeOptions(each.qos, noLocal=each.no_local)) for each in subscriptions]
        status, packet_id = self._client.subscribe(filters)
        if packet_id is None:
            raise LinkLost(paho.error_string(status))
        return packet_id

    def ack(self, message: Message) -> None:
        """Send the PUBACK of `message`; does nothing after the connection has ended."""
        if message.qos:
            self._client.ack(message.packet_id, message.qos)

    async def close(self) -> None:
        """Send DISCONNECT if connected, and close the socket."""
        if self._welcome.done() and not self._ended.is_set():
            self._client.disconnect()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await self._ended.wait()
        self._let_go()

    def _open(self) -> None:
        """Connect the socket and send CONNECT; runs in a thread."""
        properties = PahoProperties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._options.session_expiry_s
        properties.ReceiveMaximum = self._options.receive_maximum
        if self._options.max_packet_bytes is not None:
            properties.MaximumPacketSize = self._options.max_packet_bytes
        self._client.connect(
            self._options.broker.host,
            self._options.broker.port,
            self._options.keepalive_s,
            clean_start=self._options.clean_start,
            properties=properties,
        )

    def _abandon(self, opening: asyncio.Future[None]) -> None:
        if opening.exception() is None:
            self._let_go()

    def _attach(self) -> None:
        """Attach the connected socket to the event loop, which runs every callback from now on."""
        opened = self._client.socket()
        if not isinstance(opened, socket.socket):
            raise self._broken("closed at once")
        self._socket = opened
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_puback
        self._client.on_subscribe = self._on_suback
        self._client.on_message = self._on_message
        self._client.on_socket_close = self._unwatch
        self._client.on_socket_register_write = self._watch_writable
        self._client.on_socket_unregister_write = self._unwatch_writable
        self._loop.add_reader(opened, self._readable)
        if self._client.want_write():
            self._loop.add_writer(opened, self._client.loop_write)
        self._timer = self._loop.call_later(_TICK_S, self._tick)

    def _let_go(self) -> None:
        left = self._client.socket()
        self._unwatch()
        self._client.on_socket_close = None
        self._client.on_socket_unregister_write = None
        if left is not None:
            left.close()

    def _readable(self) -> None:
        self._client.loop_read()
        # TLS may buffer decrypted packets when the socket itself has no more data.
        while isinstance(opened := self._client.socket(), ssl.SSLSocket) and opened.pending():
            self._client.loop_read()

    def _tick(self) -> None:
        self._client.loop_misc()
        if self._socket is not None:
            self._timer = self._loop.call_later(_TICK_S, self._tick)

    # Callbacks of paho; their first arguments are client and user data.

    def _on_open(self, _client: paho.Client, _data: Any, opened: Any) -> None:
        """Disable Nagle's algorithm, which paho leaves on: a round trip takes 88 ms with it and 0.8 ms without."""
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._opened = opened

    def _watch_writable(self, *_: object) -> None:
        if self._socket is not None:
            self._loop.add_writer(self._socket, self._client.loop_write)

    def _unwatch_writable(self, *_: object) -> None:
        if self._socket is not None:
            self._loop.remove_writer(self._socket)

    def _unwatch(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket = None

    def _on_connect(
        self, _client: paho.Client, _data: Any, flags: paho.ConnectFlags, code: ReasonCode, properties: Any
    ) -> None:
        if code.is_failure:
            self._end(LinkRefused(f"{self._options.broker}: {code.getName()}"))
        elif not self._welcome.done():
            window = getattr(properties, "ReceiveMaximum", self._options.window)
            max_packet_bytes = getattr(properties, "MaximumPacketSize", UNLIMITED_BYTES)
            self._welcome.set_result(
                ConnAck(flags.session_present, min(window, self._options.window), max_packet_bytes)
            )

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, flags: paho.DisconnectFlags, code: ReasonCode, _properties: Any
    ) -> None:
        # Without a DISCONNECT from the broker paho's code is always "Unspecified error".
        self._end(self._broken(code.getName() if flags.is_disconnect_packet_from_server else "the connection was lost"))

    def _broken(self, why: str) -> LinkError:
        """The exception for the end of the connection, which may be the peer's alert about our certificate."""
        refusal = self._opened.refusal if isinstance(self._opened, TlsSocket) else None
        if refusal is not None and rejects_our_certificate(refusal):
            return LinkRefused(f"{self._options.broker}: {describe(refusal)}")
        return LinkLost(f"{self._options.broker}: {why}")

    def _end(self, why: LinkError) -> None:
        if not self._welcome.done():
            self._welcome.set_exception(why)
        self._ended.set()
        self._listener.on_end(why)

    def _on_puback(self, _client: paho.Client, _data: Any, packet_id: int, code: ReasonCode, _properties: Any) -> None:
        self._listener.on_reply(packet_id, [Reply(code.value, code.getName())])

    def _on_suback(
        self, _client: paho.Client, _data: Any, packet_id: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        self._listener.on_reply(packet_id, [Reply(code.value, code.getName()) for code in codes])

    def _on_message(self, _client: paho.Client, _data: Any, received: paho.MQTTMessage) -> None:
        self._listener.on_message(_from_paho(received))


def _paho_client(options: Options) -> paho.Client:
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        protocol=paho.MQTTv5,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.connect_timeout = options.connect_timeout_s
    client.max_inflight_messages_set(0)  # no limit: the caller's window limits them, without paho's hidden queue
    if options.broker.tls is not None:
        client.tls_set_context(options.broker.tls)
    if (will := options.will) is not None:
        properties = _to_paho(will.properties, PacketTypes.WILLMESSAGE)
        properties.WillDelayInterval = will.delay_s
        client.will_set(will.topic, will.body, will.qos, will.retained, properties)
    return client


def _to_paho(properties: Properties, packet: int) -> PahoProperties:
    given = PahoProperties(packet)  # type: ignore[no-untyped-call]
    for name, value in (
        ("ContentType", properties.content_type),
        ("ResponseTopic", properties.response_topic),
        ("CorrelationData", properties.correlation),
        ("MessageExpiryInterval", properties.expiry_s),
        ("UserProperty", list(properties.user) or None),
    ):
        if value is not None:
            setattr(given, name, value)
    return given


def _from_paho(received: paho.MQTTMessage) -> Message:
    given = received.properties
    properties = Properties(
        content_type=getattr(given, "ContentType", None),
        user=tuple(getattr(given, "UserProperty", ())),
        response_topic=getattr(given, "ResponseTopic", None),
        correlation=getattr(given, "CorrelationData", None),
        expiry_s=getattr(given, "MessageExpiryInterval", None),
    )
    return Message(received.topic, bytes(received.payload), received.qos, received.retain, properties, received.mid)
