"""What the certificates of this box say of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key


@dataclass(frozen=True, slots=True)
class Dates:
    """From when until when a certificate is valid."""

    begins: datetime
    ends: datetime

    def __str__(self) -> str:
        return f"from {self.begins:%Y-%m-%d} to {self.ends:%Y-%m-%d}"

    def holds(self, now: datetime) -> bool:
        """Whether it is valid now."""
        return self.begins <= now <= self.ends

    def left_share(self, now: datetime) -> float:
        """How much of its life is left, 0 to 1."""
        return (self.ends - now) / (self.ends - self.begins)


class Read(NamedTuple):
    """What the files say: dates of the box's certificate and of the CA's, whether the key belongs to the first."""

    own: Dates
    authority: Dates
    key_fits: bool
    ca_lacks: tuple[str, ...]  # what RFC 5280 requires of a CA and this one does not have


def read_certificates(certificate: Path, key: Path, ca: Path) -> Read:
    """Read PEM files. Raises OSError or ValueError naming the file that cannot be used."""
    own, authority = _certificate(certificate), _certificate(ca)
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{key}: no PEM key without a password") from exc
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    fits = private.public_key().public_bytes(*form) == own.public_key().public_bytes(*form)
    return Read(_dates(own), _dates(authority), fits, _lacks(authority, ca))


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as exc:
        raise ValueError(f"{path}: no PEM certificate") from exc


def _lacks(authority: x509.Certificate, path: Path) -> tuple[str, ...]:
    """What RFC 5280 (4.2.1.2, 4.2.1.3, 4.2.1.9) requires of a CA's certificate and `authority` does not have."""
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
    return tuple(name for name, is_there in required.items() if not is_there)


def _dates(certificate: x509.Certificate) -> Dates:
    return Dates(certificate.not_valid_before_utc, certificate.not_valid_after_utc)
