"""Key and certificate files of the box: replaced atomically; the key is generated here and never leaves the box."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from sync.errors import UnsafeLink
from sync.mqtt.tls_files import TlsFiles
from sync.storage.atomic_files import replace_link, replace_whole, write_new

_DAY = timedelta(days=1)


class EnrolmentOrigin(msgspec.Struct, frozen=True):
    """Address of the authority, the serial with which this box enrolled, and the SHA-256 of its token."""

    url: str
    serial: str
    token_sha256: str = ""


class BoxIdentity:
    """Key, certificate and trusted roots of one box in `folder`.

    Each generation is a folder, and `current` is a link to the one in use, so that the three files change together. The
    next generation is in `next` until `activate_next`. Methods raise OSError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current, self._next = folder / "current", folder / "next"

    @property
    def files(self) -> TlsFiles:
        """The files in use; their content may change, their names do not."""
        return _files(self._current)

    def certificate(self) -> x509.Certificate:
        """The certificate in use. Raises UnsafeLink if it is missing or cannot be read."""
        return _read_certificate(self._current)

    def roots(self) -> Sequence[x509.Certificate]:
        """The roots in use. Raises UnsafeLink."""
        path = self._current / "ca.pem"
        try:
            return x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError) as exc:
            raise UnsafeLink(f"{path}: {exc}; enrol this box again") from exc

    def origin(self) -> EnrolmentOrigin | None:
        """Where to renew; None before the box was enrolled. Raises UnsafeLink if the file cannot be read."""
        try:
            return msgspec.json.decode((self._folder / "place.json").read_bytes(), type=EnrolmentOrigin)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as exc:
            raise UnsafeLink(f"{self._folder / 'place.json'}: {exc}; enrol this box again") from exc

    def save_origin(self, origin: EnrolmentOrigin) -> None:
        replace_whole(self._folder / "place.json", msgspec.json.encode(origin))

    def request(self, name: str) -> bytes:
        """A PKCS#10 request (DER) for `name` with the next key, which is generated once and stored until it is used."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        return builder.sign(self._next_key(), hashes.SHA256()).public_bytes(Encoding.DER)

    def save_next(self, certificates: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]) -> TlsFiles:
        """Store the certificates for the next key and `roots`; return the files.

        Raises UnsafeLink if the certificate is for another key or not signed by `roots`.
        """
        own = certificates[0]
        if own.public_key() != self._next_key().public_key():
            raise UnsafeLink("the authority issued a certificate for another key")
        check_chain(certificates, roots)
        replace_whole(self._next / "ca.pem", _pem(roots), 0o644)
        replace_whole(self._next / "certificate.pem", _pem(certificates), 0o644)
        return _files(self._next)

    def next_files(self) -> TlsFiles | None:
        """The next files, None unless they are complete."""
        return _files(self._next) if (self._next / "certificate.pem").exists() else None

    def activate_next(self) -> None:
        """Use the next files from now on (durable after a power cut) and delete the previous ones."""
        generation = self._folder / f"generation-{_read_certificate(self._next).serial_number:x}"
        self._next.rename(generation)
        replace_link(self._current, generation.name)
        for old in self._folder.glob("generation-*"):
            if old != generation:
                shutil.rmtree(old)

    def delete_next(self) -> None:
        """Delete the next files."""
        shutil.rmtree(self._next, ignore_errors=True)

    def _next_key(self) -> ec.EllipticCurvePrivateKey:
        path = self._next / "key.pem"
        if not path.exists():
            self._next.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = ec.generate_private_key(ec.SECP256R1())
            write_new(path, new.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except (TypeError, ValueError) as exc:  # encrypted, or damaged
            raise UnsafeLink(f"{path} is encrypted or damaged: enrol this box again") from exc
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise UnsafeLink(f"{path} is not an elliptic-curve key")
        return key


class CertificateExpiry:
    """Time until a certificate file expires; the file is read again when it changes."""

    def __init__(self, certificate: Path | None) -> None:
        self._path = certificate
        self._read: tuple[int, datetime] | None = None

    def days(self) -> float | None:
        """Days left by the clock of this machine, negative after expiry; None if the certificate cannot be read."""
        if self._path is None:
            return None
        try:
            modified_ns = self._path.stat().st_mtime_ns
            if self._read is None or self._read[0] != modified_ns:
                certificate = x509.load_pem_x509_certificate(self._path.read_bytes())
                self._read = (modified_ns, certificate.not_valid_after_utc)
        except (OSError, ValueError):
            return None
        return (self._read[1] - datetime.now(UTC)) / _DAY


def check_chain(certificates: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]) -> None:
    """Raise UnsafeLink unless each of `certificates` is signed by the next, and the last by one of `roots`."""
    signed = all(is_signed_by(certificate, issuer) for certificate, issuer in pairwise(certificates))
    if not signed or not any(is_signed_by(certificates[-1], root) for root in roots):
        raise UnsafeLink("the certificate from the authority is not signed by a trusted root")


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the key of `issuer` signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _files(folder: Path) -> TlsFiles:
    return TlsFiles(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem")


def _read_certificate(folder: Path) -> x509.Certificate:
    path = folder / "certificate.pem"
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise UnsafeLink(f"{path}: {exc}; enrol this box") from exc


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
