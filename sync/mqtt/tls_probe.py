"""Performs one TLS handshake with the broker and classifies the result.

It ends before CONNECT: a session opened here would replace the session of the box.
"""

from __future__ import annotations

import socket
import ssl
from enum import StrEnum

from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.peer_certificate import explain

_ALERT_WAIT_S = 1.0  # in TLS 1.3 the broker verifies our certificate after our side of the handshake
_DATES = {9, 10}  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_NAMES = {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


class Handshake(StrEnum):
    """Result of the handshake."""

    VERIFIED = "verified"  # both certificates were accepted
    PLAIN = "plain"  # the broker accepts connections; no TLS on loopback
    UNKNOWN_NAME = "unknown_name"  # DNS cannot resolve the host name
    REFUSED = "refused"  # no process listens on the port
    SILENT = "silent"  # no answer, or the connection was closed
    NOT_TLS = "not_tls"  # the port does not use TLS
    WRONG_CA = "wrong_ca"  # the broker's certificate is signed by another authority
    WRONG_NAME = "wrong_name"  # the broker's certificate is for another host
    WRONG_DATE = "wrong_date"  # the broker's certificate has expired or is not valid yet
    CLIENT_REFUSED = "client_refused"  # the broker does not accept our certificate


def try_handshake(broker: BrokerAddress, limit_s: float) -> tuple[Handshake, str]:
    """Connect, verify both certificates and close; blocks at most `limit_s` a step. Returns result and description."""
    try:
        with socket.create_connection((broker.host, broker.port), timeout=limit_s) as plain:
            if broker.tls is None:
                return Handshake.PLAIN, "accepts connections without TLS (loopback)"
            with broker.tls.wrap_socket(plain, server_hostname=broker.host) as secure:
                return _await_alert(secure)
    except socket.gaierror as exc:
        return Handshake.UNKNOWN_NAME, exc.strerror or str(exc)
    except ssl.SSLError as exc:
        return _classify(exc), explain(exc, broker)
    except ConnectionRefusedError as exc:
        return Handshake.REFUSED, exc.strerror or "connection refused"
    except OSError as exc:  # TimeoutError is one
        return Handshake.SILENT, exc.strerror or str(exc) or "no answer"


def _await_alert(secure: ssl.SSLSocket) -> tuple[Handshake, str]:
    """Wait for an alert; a broker that accepts the certificate sends nothing before CONNECT."""
    secure.settimeout(_ALERT_WAIT_S)
    try:
        secure.recv(1)
    except TimeoutError:
        return Handshake.VERIFIED, f"{secure.version()}, both certificates accepted"
    except ConnectionResetError as exc:
        return Handshake.CLIENT_REFUSED, exc.strerror or "connection reset"
    return Handshake.CLIENT_REFUSED, "the broker closed the connection after receiving our certificate"


def _classify(exc: ssl.SSLError) -> Handshake:
    if isinstance(exc, ssl.SSLCertVerificationError):
        if exc.verify_code in _DATES:
            return Handshake.WRONG_DATE
        return Handshake.WRONG_NAME if exc.verify_code in _NAMES else Handshake.WRONG_CA
    reason = exc.reason or ""
    return Handshake.CLIENT_REFUSED if "ALERT" in reason else Handshake.NOT_TLS
