"""The box's own key and certificates, as files: made here, never half replaced, and the key never leaves."""

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
from sync.mqtt.broker_address import TlsFiles
from sync.storage.atomic_files import replace_link, replace_whole, write_new

_DAY = timedelta(days=1)


class Place(msgspec.Struct, frozen=True):
    """Where this box renews its certificate, the serial it enrolled with, and the SHA-256 of the token it showed."""

    url: str
    serial: str
    token_sha256: str = ""


class BoxIdentity:
    """Key, certificate and trusted root of one box below `folder`.

    Each generation is a folder of its own and `current` a link to the one in use, so the three files change together.
    What is being made lies in `next` until `take_over`. Raises OSError where the disk fails.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current, self._next = folder / "current", folder / "next"

    @property
    def files(self) -> TlsFiles:
        """The files in use; what lies there may change, the names do not."""
        return _files(self._current)

    def certificate(self) -> x509.Certificate:
        """The certificate in use. Raises UnsafeLink when there is none, or when it cannot be read."""
        return _read_certificate(self._current)

    def roots(self) -> Sequence[x509.Certificate]:
        """The roots in use. Raises UnsafeLink."""
        path = self._current / "ca.pem"
        try:
            return x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError) as exc:
            raise UnsafeLink(f"{path}: {exc}; enrol this box anew") from exc

    def place(self) -> Place | None:
        """Where to renew; None before the box was enrolled. Raises UnsafeLink when it cannot be read."""
        try:
            return msgspec.json.decode((self._folder / "place.json").read_bytes(), type=Place)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as exc:
            raise UnsafeLink(f"{self._folder / 'place.json'}: {exc}; enrol this box anew") from exc

    def place_is(self, place: Place) -> None:
        replace_whole(self._folder / "place.json", msgspec.json.encode(place))

    def request(self, name: str) -> bytes:
        """A PKCS#10 request (DER) for the next key, as `name`. The key is made once and kept until it is in use."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        return builder.sign(self._next_key(), hashes.SHA256()).public_bytes(Encoding.DER)

    def offer(self, certificates: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]) -> TlsFiles:
        """Keep what the authority gave for the next key, and return the files.

        Raises UnsafeLink when it is for another key, or not signed by `roots`.
        """
        own = certificates[0]
        if own.public_key() != self._next_key().public_key():
            raise UnsafeLink("the authority answered with a certificate for another key")
        check_chain(certificates, roots)
        replace_whole(self._next / "ca.pem", _pem(roots), 0o644)
        replace_whole(self._next / "certificate.pem", _pem(certificates), 0o644)
        return _files(self._next)

    def offered(self) -> TlsFiles | None:
        """The next files when they are complete."""
        return _files(self._next) if (self._next / "certificate.pem").exists() else None

    def take_over(self) -> None:
        """What lies in `next` is in use from now on, after a power cut too; what was in use is deleted."""
        generation = self._folder / f"generation-{_read_certificate(self._next).serial_number:x}"
        self._next.rename(generation)
        replace_link(self._current, generation.name)
        for old in self._folder.glob("generation-*"):
            if old != generation:
                shutil.rmtree(old)

    def forget_next(self) -> None:
        """Delete what was being made."""
        shutil.rmtree(self._next, ignore_errors=True)

    def _next_key(self) -> ec.EllipticCurvePrivateKey:
        path = self._next / "key.pem"
        if not path.exists():
            self._next.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = ec.generate_private_key(ec.SECP256R1())
            write_new(path, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key = load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise UnsafeLink(f"{path} is no key of ours")
        return key


class Validity:
    """How long a certificate file is valid; read again when the file changed."""

    def __init__(self, certificate: Path | None) -> None:
        self._path = certificate
        self._read: tuple[int, datetime] | None = None

    def days(self) -> float | None:
        """Days left by this machine's clock, negative afterwards; None where there is no certificate to read."""
        if self._path is None:
            return None
        try:
            changed = self._path.stat().st_mtime_ns
            if self._read is None or self._read[0] != changed:
                read = x509.load_pem_x509_certificate(self._path.read_bytes())
                self._read = (changed, read.not_valid_after_utc)
        except (OSError, ValueError):
            return None
        return (self._read[1] - datetime.now(UTC)) / _DAY


def check_chain(certificates: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]) -> None:
    """Raise UnsafeLink unless each of `certificates` is signed by the next, and the last by one of `roots`."""
    signed = all(is_signed_by(below, above) for below, above in pairwise(certificates))
    if not signed or not any(is_signed_by(certificates[-1], root) for root in roots):
        raise UnsafeLink("the authority answered with a certificate that is not its own")


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
