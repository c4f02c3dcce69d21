"""What the certificates of this box say of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

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


def read_certificates(certificate: Path, key: Path, ca: Path) -> tuple[Dates, Dates, bool]:
    """Dates of the box's certificate and of the CA's, and whether `key` belongs to the first.

    All are PEM files. Raises OSError or ValueError naming the file that cannot be used.
    """
    own, authority = _certificate(certificate), _certificate(ca)
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{key}: no PEM key without a password") from exc
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    fits = private.public_key().public_bytes(*form) == own.public_key().public_bytes(*form)
    return _dates(own), _dates(authority), fits


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as exc:
        raise ValueError(f"{path}: no PEM certificate") from exc


def _dates(certificate: x509.Certificate) -> Dates:
    return Dates(certificate.not_valid_before_utc, certificate.not_valid_after_utc)
