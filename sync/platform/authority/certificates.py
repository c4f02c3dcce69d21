"""The certificate authority: certificates for boxes, servers and the platform's programs, revocation lists."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sync.contract.topics import check_name
from sync.storage.atomic_files import check_absent, write_all_new

PLATFORM = "platform"  # name of the platform's programs at the broker; not available to boxes
BOX_DAYS = 365
OWN_DAYS = 1825  # of servers and the platform's programs: an overlooked expiry would disconnect every box
_HOST = re.compile("(?=.{1,64}$)[A-Za-z0-9-]+([.][A-Za-z0-9-]+)*")  # also used as the common name
_ROOT_DAYS = 7305
_ISSUING_DAYS = 3652
_BACKDATED = timedelta(hours=1)  # for a box whose clock is slow

BoxKey = ec.EllipticCurvePublicKey


def utc_now() -> datetime:
    """The current time of this machine."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class CaFiles:
    """Files of an authority. `root_key` belongs on a medium in a safe; no command needs it again."""

    root: Path
    root_key: Path
    issuing: Path
    issuing_key: Path
    revoked: Path  # newest list of revoked certificates

    @classmethod
    def below(cls, folder: Path) -> CaFiles:
        return cls(
            folder / "root.pem",
            folder / "root.key",
            folder / "issuing.pem",
            folder / "issuing.key",
            folder / "revoked.pem",
        )

    def check_absent(self) -> None:
        """Raise FileExistsError if an authority exists."""
        check_absent(self.root, self.root_key, self.issuing, self.issuing_key)

    def create(self, district: str) -> Authority:
        """Create root and issuing key of `district`. Raises FileExistsError: an authority is never replaced."""
        check_name(district)
        self.check_absent()
        self.root.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        root_key, issuing_key = new_key(), new_key()
        root_name, issuing_name = _name("Sentinel root", district), _name("Sentinel issuing", district)
        root = _authority(root_name, root_key, root_name, root_key, _ROOT_DAYS, below=1)
        issuing = _authority(issuing_name, issuing_key, root_name, root_key, _ISSUING_DAYS, below=0)
        write_all_new(
            (self.root_key, key_pem(root_key), 0o600),
            (self.issuing_key, key_pem(issuing_key), 0o600),
            (self.root, root.public_bytes(Encoding.PEM), 0o644),
            (self.issuing, issuing.public_bytes(Encoding.PEM), 0o644),
        )
        return Authority(root, issuing, issuing_key)

    def load(self, now: Callable[[], datetime] | None = None) -> Authority:
        """The authority in these files; `now` replaces its clock. Raises OSError, ValueError."""
        try:
            key = load_pem_private_key(self.issuing_key.read_bytes(), None)
            root = x509.load_pem_x509_certificate(self.root.read_bytes())
            issuing = x509.load_pem_x509_certificate(self.issuing.read_bytes())
        except FileNotFoundError as exc:
            raise FileNotFoundError(
                f"{exc.filename} does not exist: create an authority with edge-platform ca init"
            ) from exc
        except TypeError as exc:
            raise ValueError(f"{self.issuing_key} is encrypted: provide a key that is not (mode 0600)") from exc
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != issuing.public_key():
            raise ValueError(f"{self.issuing_key} is not the key of {self.issuing}")
        return Authority(root, issuing, key, now or utc_now)


class Authority:
    """Signs certificates. Its chain is `issuing`, `root`; clients trust `root`."""

    def __init__(
        self,
        root: x509.Certificate,
        issuing: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.root = root
        self.issuing = issuing
        self.now = now
        self._key = key

    @property
    def district(self) -> str:
        """The district of its boxes."""
        return organisation(self.issuing)

    @property
    def sha256(self) -> str:
        """SHA-256 fingerprint of the root, by which a new box verifies it."""
        return self.root.fingerprint(hashes.SHA256()).hex()

    def chain_pem(self) -> bytes:
        """PEM of the issuing certificate and the root, for verification."""
        return self.issuing.public_bytes(Encoding.PEM) + self.root.public_bytes(Encoding.PEM)

    def box(self, name: str, key: BoxKey, days: int = BOX_DAYS) -> x509.Certificate:
        """A certificate for the box `name`. Raises ValueError for a name that is not available to boxes."""
        if check_name(name) == PLATFORM:
            raise ValueError(f"{PLATFORM} is the name of the platform at the broker")
        return self._client(name, key, days)

    def platform(self, key: BoxKey, days: int = OWN_DAYS) -> x509.Certificate:
        """A certificate for the platform's programs."""
        return self._client(PLATFORM, key, days)

    def server(self, hosts: Iterable[str], key: BoxKey, days: int = OWN_DAYS) -> x509.Certificate:
        """A certificate for a server with the names or addresses `hosts`. Raises ValueError if there are none."""
        names = [_host(host) for host in hosts]
        if not names:
            raise ValueError("a server needs at least one host name or address")
        return self._sign(
            self._leaf(_name(str(names[0].value), self.district), key, days)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        )

    def revocations(self, revoked: Iterable[tuple[int, datetime]]) -> bytes:
        """PEM of the list of revoked certificates, valid until the issuing certificate expires.

        A broker with an expired list rejects every client. A new list is written with each revocation.
        """
        now, end = self.now(), self.issuing.not_valid_after_utc
        builder = x509.CertificateRevocationListBuilder(self.issuing.subject, now - _BACKDATED, end)
        for number, when in revoked:
            entry = x509.RevokedCertificateBuilder(number, when).build()
            builder = builder.add_revoked_certificate(entry)
        signed = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        ).add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
        return signed.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether this authority signed `certificate`."""
        try:
            certificate.verify_directly_issued_by(self.issuing)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def _client(self, name: str, key: BoxKey, days: int) -> x509.Certificate:
        return self._sign(
            self._leaf(_name(name, self.district), key, days).add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
            )
        )

    def _leaf(self, subject: x509.Name, key: BoxKey, days: int) -> x509.CertificateBuilder:
        now = self.now()
        until = min(now + timedelta(days=days), self.issuing.not_valid_after_utc)
        return (
            _builder(subject, self.issuing.subject, key, now, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
        )

    def _sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return builder.add_extension(issuer, critical=False).sign(self._key, hashes.SHA256())


def new_key() -> ec.EllipticCurvePrivateKey:
    """A new private key on the curve P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """`key` as unencrypted PEM, for a file that only its owner can read."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def common_name(subject: x509.Name) -> str:
    """The common name in `subject`, or an empty string."""
    return _attribute(subject, NameOID.COMMON_NAME)


def organisation(certificate: x509.Certificate) -> str:
    """The district in `certificate`."""
    return _attribute(certificate.subject, NameOID.ORGANIZATION_NAME)


def _attribute(subject: x509.Name, oid: x509.ObjectIdentifier) -> str:
    found = subject.get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""


def _name(common: str, district: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, district),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _host(host: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        if not _HOST.fullmatch(host):
            raise ValueError(f"not a host name or address: {host!r}") from None
        return x509.DNSName(host)


def _authority(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    days: int,
    *,
    below: int,
) -> x509.Certificate:
    """A CA certificate with path length `below`."""
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    now = utc_now()
    return (
        _builder(subject, issuer, key.public_key(), now, now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=below), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(issuer_key, critical=False)
        .sign(signer, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: BoxKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
