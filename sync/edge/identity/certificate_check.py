"""Whether a broker would let a certificate in, asked without disturbing the session that the box has there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from sync.errors import BrokerUntrusted, LinkLost, LinkRefused
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.tls_errors import describe, rejects_our_certificate

_LIMIT_S = 10.0
_CONNACK = 0x20
# MQTT 5 CONNECT with an authentication method that no broker has: it answers CONNACK and nothing else happens (MQTT 5
# 3.1.2.11.9), once it took our certificate. A real CONNECT would take over the box's own session.
_PROPERTIES = b"\x15\x00\x05knock"
_VARIABLE = b"\x00\x04MQTT\x05\x02\x00\x0a" + bytes([len(_PROPERTIES)]) + _PROPERTIES + b"\x00\x05knock"
_CONNECT = bytes([0x10, len(_VARIABLE)]) + _VARIABLE


async def check_certificate_accepted(broker: BrokerAddress) -> None:
    """Return when the broker took our certificate. Raises LinkRefused when not, BrokerUntrusted, LinkLost."""
    await asyncio.to_thread(_knock, broker)


def _knock(broker: BrokerAddress) -> None:
    """In a thread: blocking sockets alone let the refusal be read that came before the connection was cut."""
    try:
        with contextlib.ExitStack() as stack:
            line = stack.enter_context(socket.create_connection((broker.host, broker.port), _LIMIT_S))
            if broker.tls is not None:
                line = stack.enter_context(broker.tls.wrap_socket(line, server_hostname=broker.host))
            line.sendall(_CONNECT)
            answer = line.recv(1)
    except ssl.SSLError as exc:
        raise (LinkRefused if rejects_our_certificate(exc) else BrokerUntrusted)(f"{broker}: {describe(exc)}") from exc
    except OSError as exc:
        raise LinkLost(f"{broker}: {exc or 'no answer'}") from exc
    if answer != bytes([_CONNACK]):
        raise LinkLost(f"{broker}: the connection broke off")
