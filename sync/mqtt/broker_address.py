"""Where the broker is, and what protects the way to it."""

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
    """PEM files: `ca` that signed the broker (None: the system's), own certificate and its key."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def stamp(self) -> tuple[int, ...]:
        """Changes when one of the files does; a file that is not there counts as 0."""
        return tuple(_changed_ns(path) for path in (self.ca, self.certificate, self.key) if path is not None)


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Address of a broker; `tls` None means plain text, which exists on loopback alone."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"

    @classmethod
    def from_url(cls, url: str, files: TlsFiles = TlsFiles()) -> BrokerAddress:
        """The broker at `mqtt://host:port` or `mqtts://host:port`; raises UnsafeLink, never falls back."""
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
        except (KeyError, ValueError) as exc:
            raise UnsafeLink("the broker must be mqtt://host:port or mqtts://host:port") from exc
        if parts.username is not None:
            raise UnsafeLink("no user and no password stand in the address of a broker: certificates say who we are")
        if not parts.hostname:
            raise UnsafeLink(f"{url!r} names no host")
        if parts.scheme == "mqtts":
            return cls(parts.hostname, port, _verifying(files))
        if not _is_loopback(parts.hostname):
            raise UnsafeLink(f"plain MQTT stays on this machine; use mqtts://{parts.hostname}:8883")
        return cls(parts.hostname, port)


def _changed_ns(path: Path) -> int:
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
    """Closes itself when its handshake fails, and remembers why it ended; paho lets both go.

    In TLS 1.3 the other end judges our certificate after our handshake: what it says comes with the first read.
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
            # Nobody takes it any more; what the other end said before it left is still to be read.
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
    """A context that checks the broker's certificate and name; there is no other kind here."""
    with _naming(files.ca):
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=files.ca)
    if files.ca is not None:
        accept_older_certificates(context)
    context.sslsocket_class = TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files.certificate is not None:
        with _naming(files.certificate, files.key):
            context.load_cert_chain(files.certificate, files.key)
    elif files.key is not None:
        raise UnsafeLink(f"the certificates cannot be used: {files.key} is a key without its certificate")
    return context


@contextlib.contextmanager
def _naming(*files: Path | None) -> Iterator[None]:
    """OpenSSL does not say which file it could not use."""
    try:
        yield
    except OSError as exc:
        named = ", ".join(str(path) for path in files if path is not None)
        raise UnsafeLink(f"the certificates cannot be used: {named}: {exc.strerror or exc}") from exc
