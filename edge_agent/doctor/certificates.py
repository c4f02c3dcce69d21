"""Reads validity dates and key of this box's certificates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key


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


def read_certificates(certificate: Path, key: Path, ca: Path) -> tuple[Validity, Validity, bool]:
    """Validity of the box's certificate and of the CA's, and whether `key` belongs to the box's certificate.

    All are PEM files. Raises OSError, or ValueError that names the unusable file.
    """
    own, authority = _certificate(certificate), _certificate(ca)
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{key}: not a PEM key without a password") from exc
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    matches = private.public_key().public_bytes(*form) == own.public_key().public_bytes(*form)
    return _validity(own), _validity(authority), matches


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as exc:
        raise ValueError(f"{path}: not a PEM certificate") from exc


def _validity(certificate: x509.Certificate) -> Validity:
    return Validity(certificate.not_valid_before_utc, certificate.not_valid_after_utc)
