"""Key and certificate files of servers and of the platform's programs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from sync.mqtt.tls_files import TlsFiles
from sync.platform.authority.certificates import PLATFORM, Authority, key_pem, new_key
from sync.storage.atomic_files import replace_whole


def write_server_files(authority: Authority, folder: Path, name: str, hosts: Iterable[str]) -> TlsFiles:
    """Write a new key and certificate for a server with the names `hosts`. Raises OSError, ValueError."""
    key = new_key()
    return _write(authority, folder, name, key, authority.server(hosts, key.public_key()))


def write_platform_files(authority: Authority, folder: Path) -> TlsFiles:
    """Write a new key and certificate for the platform's programs. Raises OSError."""
    key = new_key()
    return _write(authority, folder, PLATFORM, key, authority.platform(key.public_key()))


def expiry(certificate: Path) -> datetime:
    """When the certificate in a PEM file expires. Raises OSError, ValueError."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc


def _write(
    authority: Authority, folder: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> TlsFiles:
    folder.mkdir(parents=True, exist_ok=True)
    files = TlsFiles(folder / "ca.pem", folder / f"{name}.pem", folder / f"{name}.key")
    issuing = authority.issuing.public_bytes(Encoding.PEM)
    replace_whole(folder / f"{name}.key", key_pem(key))
    replace_whole(folder / f"{name}.pem", certificate.public_bytes(Encoding.PEM) + issuing, 0o644)
    replace_whole(folder / "ca.pem", authority.chain_pem(), 0o644)
    return files
