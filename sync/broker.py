"""Where the broker is, and what protects the way to it."""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sync.errors import UnsafeLink

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: `ca` that signed the broker (None: the system's), own certificate and its key."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Broker:
    """Address of a broker; `tls` None means plain text, which exists on loopback alone."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"

    @classmethod
    def from_url(cls, url: str, files: TlsFiles = TlsFiles()) -> Broker:
        """The broker at `mqtt://host:port` or `mqtts://host:port`; raises UnsafeLink, never falls back."""
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
        except (KeyError, ValueError) as exc:
            raise UnsafeLink(f"the broker must be mqtt://host:port or mqtts://host:port, not {url!r}") from exc
        if not parts.hostname:
            raise UnsafeLink(f"{url!r} names no host")
        if parts.scheme == "mqtts":
            return cls(parts.hostname, port, _verifying(files))
        if not _is_loopback(parts.hostname):
            raise UnsafeLink(f"plain MQTT stays on this machine; use mqtts://{parts.hostname}:8883")
        return cls(parts.hostname, port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class TlsSocket(ssl.SSLSocket):
    """Closes itself when its handshake fails (paho would leave it to the garbage collector) and keeps the alert.

    In TLS 1.3 a broker refuses our certificate after the handshake. `alert` is how it said so, in words; else empty.
    """

    alert = ""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except ssl.SSLError as exc:
            _, is_alert, said = (exc.reason or "").partition("_ALERT_")
            if is_alert:
                self.alert = said.replace("_", " ").lower()
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        try:
            return super().send(data, flags)
        except (ssl.SSLEOFError, BrokenPipeError, ConnectionResetError):
            with contextlib.suppress(OSError):
                self.recv(1)  # what it said before it hung up
            raise


def _verifying(files: TlsFiles) -> ssl.SSLContext:
    """A context that checks the broker's certificate and name; there is no other kind here."""
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=files.ca)
        context.sslsocket_class = TlsSocket
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if files.certificate is not None:
            context.load_cert_chain(files.certificate, files.key)
    except OSError as exc:
        raise UnsafeLink(f"the certificates cannot be used: {exc}") from exc
    return context
