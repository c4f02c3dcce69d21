"""Address of the broker and TLS context of the connection."""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sync.errors import UnsafeLink
from sync.mqtt.pinned_ca import accept_older_certificates

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: CA of the broker (None: the CAs of the system), own certificate and its key."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def modified_ns(self) -> tuple[int, ...]:
        """Modification times of the files, to detect changes; 0 for a file that does not exist."""
        return tuple(_modified_ns(path) for path in (self.ca, self.certificate, self.key) if path is not None)


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Address of a broker; `tls` None: plain text, allowed on loopback only."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"

    @classmethod
    def from_url(cls, url: str, files: TlsFiles = TlsFiles()) -> BrokerAddress:
        """Parse `mqtt://host:port` or `mqtts://host:port`. Raises UnsafeLink; never falls back to plain text."""
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
        except (KeyError, ValueError) as exc:
            raise UnsafeLink("the broker must be mqtt://host:port or mqtts://host:port") from exc
        if parts.username is not None:
            raise UnsafeLink("the broker address must not contain a user name or password: certificates identify us")
        if not parts.hostname:
            raise UnsafeLink(f"{url!r} does not contain a host name")
        if parts.scheme == "mqtts":
            return cls(parts.hostname, port, _verifying(files))
        if not _is_loopback(parts.hostname):
            raise UnsafeLink(f"plain MQTT is allowed on loopback only; use mqtts://{parts.hostname}:8883")
        return cls(parts.hostname, port)


def _modified_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails and stores the TLS error that ended it; paho does neither.

    In TLS 1.3 the peer verifies our certificate after our handshake, so its alert arrives with the first read.
    """

    refusal: ssl.SSLError | None = None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as exc:
            self.refusal = exc
            raise

    def send(self, data: bytes, flags: int = 0) -> int:  # type: ignore[override]
        try:
            return super().send(data, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as exc:
            # The peer closed the connection; an alert that it sent before may still be unread.
            with contextlib.suppress(OSError):
                self.recv(1)
            raise self.refusal or exc from None

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _verifying(files: TlsFiles) -> ssl.SSLContext:
    """A context that verifies the certificate and the host name of the broker."""
    with _naming(files.ca):
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=files.ca)
    if files.ca is not None:
        accept_older_certificates(context)
    context.hostname_checks_common_name = False  # a certificate without subjectAltName names no host
    context.sslsocket_class = TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files.certificate is not None:
        with _naming(files.certificate, files.key):
            context.load_cert_chain(files.certificate, files.key)
    elif files.key is not None:
        raise UnsafeLink(f"cannot use the certificates: {files.key} is a key without a certificate")
    return context


@contextlib.contextmanager
def _naming(*files: Path | None) -> Iterator[None]:
    """Add the file names to OSError, because OpenSSL does not report which file it could not read."""
    try:
        yield
    except OSError as exc:
        named = ", ".join(str(path) for path in files if path is not None)
        raise UnsafeLink(f"cannot use the certificates: {named}: {exc.strerror or exc}") from exc
