"""Reads validity dates and key of this box's certificates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from sync.mqtt.tls_files import passphrase_of, wrong_passphrase
from sync.storage.text_file import read_pem


@dataclass(frozen=True, slots=True)
class Validity:
    """The validity period of a certificate."""

    begins: datetime
    ends: datetime

    def __str__(self) -> str:
        return f"from {self.begins:%Y-%m-%d} to {self.ends:%Y-%m-%d}"

    def includes(self, now: datetime) -> bool:
        """Whether `now` is within the period."""
        return self.begins <= now <= self.ends

    def remaining_share(self, now: datetime) -> float:
        """The remaining share of the period, 0 to 1."""
        return (self.ends - now) / (self.ends - self.begins)


class CertificateFiles(NamedTuple):
    """Validity of the box's certificate and of the CA's, and whether the key belongs to the box's certificate."""

    own: Validity
    authority: Validity
    key_matches: bool
    ca_lacks: tuple[str, ...]  # extensions that RFC 5280 requires of a CA and that are missing


def read_certificates(certificate: Path, key: Path, ca: Path, passphrase: Path | None = None) -> CertificateFiles:
    """Read PEM files. Raises OSError; UnsafeLink or ValueError that names the unusable file."""
    own, authority = _certificate(certificate), _certificate(ca)
    private = _private_key(key, passphrase)
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    matches = private.public_key().public_bytes(*form) == own.public_key().public_bytes(*form)
    return CertificateFiles(_validity(own), _validity(authority), matches, _missing_extensions(authority, ca))


def _private_key(path: Path, passphrase: Path | None) -> PrivateKeyTypes:
    pem = read_pem(path)
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:  # it is encrypted
        word = passphrase_of(path, passphrase)
    except ValueError as exc:
        raise ValueError(f"{path}: not a PEM key") from exc
    try:
        return load_pem_private_key(pem, password=word)
    except ValueError as exc:
        raise wrong_passphrase(path, passphrase) from exc


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(read_pem(path))
    except ValueError as exc:
        raise ValueError(f"{path}: not a PEM certificate") from exc


def _missing_extensions(authority: x509.Certificate, path: Path) -> tuple[str, ...]:
    """The missing extensions that RFC 5280 (4.2.1.2, 4.2.1.3, 4.2.1.9) requires of a CA's certificate."""
    try:
        extensions = authority.extensions
    except (ValueError, x509.DuplicateExtension) as exc:
        raise ValueError(f"{path}: its extensions cannot be read") from exc
    found = {type(each.value): each.critical for each in extensions}
    required = {
        "critical basic constraints": found.get(x509.BasicConstraints, False),
        "key usage": x509.KeyUsage in found,
        "subject key identifier": x509.SubjectKeyIdentifier in found,
    }
    return tuple(name for name, is_present in required.items() if not is_present)


def _validity(certificate: x509.Certificate) -> Validity:
    return Validity(certificate.not_valid_before_utc, certificate.not_valid_after_utc)
