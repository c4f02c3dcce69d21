"""Address of the broker and TLS context of the connection."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sync.errors import UnsafeLink
from sync.mqtt.pinned_ca import accept_older_certificates
from sync.mqtt.tls_files import TlsFiles, in_memory, load_own_certificate
from sync.network_address import BadAddress, HostPort, ServerAddress
from sync.storage.text_file import NotText, read_pem

_NO_FILES = TlsFiles()
_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Address of a broker; `tls` None: plain text, allowed on loopback only."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{HostPort(self.host, self.port)}"

    @classmethod
    def from_url(cls, url: str, files: TlsFiles = _NO_FILES) -> BrokerAddress:
        """Parse `mqtt://host:port` or `mqtts://host:port`. Raises UnsafeLink; never falls back to plain text."""
        address = parse_broker_url(url)
        if address.scheme == "mqtts":
            return cls(address.at.host, address.at.port, _verifying(files))
        return cls(address.at.host, address.at.port)


def parse_broker_url(url: str) -> ServerAddress:
    """The address in `mqtt://host:port` or `mqtts://host:port`. Raises UnsafeLink, without the text of a password."""
    try:
        address = ServerAddress.parse(url, _PORTS)
    except BadAddress as exc:
        raise UnsafeLink(f"平台地址 broker address: {exc}") from exc
    if address.scheme == "mqtt" and not address.at.is_loopback:
        raise UnsafeLink(
            f"明文 MQTT 只允许在本机：请用 {ServerAddress('mqtts', HostPort(address.at.host, _PORTS['mqtts']))}。"
            f" Plain MQTT is allowed on loopback only: use mqtts://{HostPort(address.at.host, _PORTS['mqtts'])}"
        )
    return address


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
        if files.ca is None:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
        else:
            with in_memory(read_pem(files.ca)) as path:
                context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=path)
            accept_older_certificates(context)
    context.hostname_checks_common_name = False  # a certificate without subjectAltName names no host
    context.sslsocket_class = TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with _naming(files.certificate, files.key):
        load_own_certificate(context, files)
    return context


@contextlib.contextmanager
def _naming(*files: Path | None) -> Iterator[None]:
    """Add the file names to OSError, because OpenSSL does not report which file it could not read."""
    try:
        yield
    except NotText as exc:
        raise UnsafeLink(f"cannot use the certificates: {exc}") from exc
    except OSError as exc:
        named = ", ".join(str(path) for path in files if path is not None)
        raise UnsafeLink(f"cannot use the certificates: {named}: {exc.strerror or exc}") from exc
