"""Checks that a broker accepts a certificate, without disturbing the session of the box there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from sync.errors import BrokerUntrusted, LinkLost, LinkRefused
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.peer_certificate import explain
from sync.mqtt.tls_errors import rejects_our_certificate

_LIMIT_S = 10.0
_CONNACK = 0x20
# MQTT 5 CONNECT with an unknown authentication method: a broker that accepts our certificate answers only with CONNACK
# (MQTT 5 section 3.1.2.11.9). A regular CONNECT would take over the session of the box.
_PROPERTIES = b"\x15\x00\x05knock"
_VARIABLE = b"\x00\x04MQTT\x05\x02\x00\x0a" + bytes([len(_PROPERTIES)]) + _PROPERTIES + b"\x00\x05knock"
_CONNECT = bytes([0x10, len(_VARIABLE)]) + _VARIABLE


async def check_certificate_accepted(broker: BrokerAddress) -> None:
    """Return if the broker accepts our certificate. Raises LinkRefused if it does not, BrokerUntrusted, LinkLost."""
    await asyncio.to_thread(_check, broker)


def _check(broker: BrokerAddress) -> None:
    """Runs in a thread: only blocking sockets can read an alert that arrived before the connection was closed."""
    try:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection((broker.host, broker.port), _LIMIT_S))
            if broker.tls is not None:
                connection = stack.enter_context(broker.tls.wrap_socket(connection, server_hostname=broker.host))
            connection.sendall(_CONNECT)
            answer = connection.recv(1)
    except ssl.SSLError as exc:
        raise (LinkRefused if rejects_our_certificate(exc) else BrokerUntrusted)(
            f"{broker}: {explain(exc, broker)}"
        ) from exc
    except OSError as exc:
        raise LinkLost(f"{broker}: {exc or 'no answer'}") from exc
    if answer != bytes([_CONNACK]):
        raise LinkLost(f"{broker}: the connection was lost")
