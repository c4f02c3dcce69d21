"""One handshake with the broker, as the link would begin it, and which of the ways it can fail this one is.

It ends before MQTT does: a session opened here would push the box's own aside.
"""

from __future__ import annotations

import socket
import ssl
from enum import StrEnum

from sync.mqtt.broker_address import BrokerAddress

_ALERT_WAIT_S = 1.0  # in TLS 1.3 the broker judges our certificate after our side of the handshake is over
_DATES = {9, 10}  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_NAMES = {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


class Handshake(StrEnum):
    """What came of it."""

    VERIFIED = "verified"  # both sides are who they say
    PLAIN = "plain"  # it takes connections; there is no TLS on loopback
    UNKNOWN_NAME = "unknown_name"  # DNS does not know the broker
    REFUSED = "refused"  # nothing listens there
    SILENT = "silent"  # no answer, or the connection was cut
    NOT_TLS = "not_tls"  # something else speaks there
    WRONG_CA = "wrong_ca"  # the broker's certificate was signed by somebody else
    WRONG_NAME = "wrong_name"  # it is another host's
    WRONG_DATE = "wrong_date"  # it has expired, or is not valid yet by our clock
    CLIENT_REFUSED = "client_refused"  # the broker does not accept our certificate


def shake_hands(broker: BrokerAddress, limit_s: float) -> tuple[Handshake, str]:
    """Connect, prove each other and hang up; blocks for `limit_s` a step at most. Returns what came of it, in words."""
    try:
        with socket.create_connection((broker.host, broker.port), timeout=limit_s) as plain:
            if broker.tls is None:
                return Handshake.PLAIN, "takes connections, plain on this machine"
            with broker.tls.wrap_socket(plain, server_hostname=broker.host) as secure:
                return _await_alert(secure)
    except socket.gaierror as exc:
        return Handshake.UNKNOWN_NAME, exc.strerror or str(exc)
    except ssl.SSLError as exc:
        return _judged(exc), getattr(exc, "verify_message", "") or exc.reason or str(exc)
    except ConnectionRefusedError as exc:
        return Handshake.REFUSED, exc.strerror or "connection refused"
    except OSError as exc:  # TimeoutError is one
        return Handshake.SILENT, exc.strerror or str(exc) or "no answer"


def _await_alert(secure: ssl.SSLSocket) -> tuple[Handshake, str]:
    """A broker that wants us says nothing until we do."""
    secure.settimeout(_ALERT_WAIT_S)
    try:
        secure.recv(1)
    except TimeoutError:
        return Handshake.VERIFIED, f"{secure.version()}, both certificates accepted"
    except ConnectionResetError as exc:
        return Handshake.CLIENT_REFUSED, exc.strerror or "cut"
    return Handshake.CLIENT_REFUSED, "it hung up after our certificate"


def _judged(exc: ssl.SSLError) -> Handshake:
    if isinstance(exc, ssl.SSLCertVerificationError):
        if exc.verify_code in _DATES:
            return Handshake.WRONG_DATE
        return Handshake.WRONG_NAME if exc.verify_code in _NAMES else Handshake.WRONG_CA
    reason = exc.reason or ""
    return Handshake.CLIENT_REFUSED if "ALERT" in reason else Handshake.NOT_TLS
