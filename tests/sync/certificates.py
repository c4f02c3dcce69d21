"""A small certificate authority for tests, whose certificates hold to RFC 5280, and one as they were made before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sync.mqtt.tls_files import TlsFiles


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


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


class Authority:
    """Signs certificates and writes them to `home` as PEM files."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.ca = home / "ca.pem"
        self._home = home
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"{home.name} authority")
        certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(True, None), True)
            .add_extension(_usage(signs_certificates=True), True)
        )
        self.ca.write_bytes(self._sign(certificate))

    def older_ca(self) -> Path:
        """The CA's certificate as many a tool made it: same name and key, and no key usage."""
        path = self._home / "older-ca.pem"
        older = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, None), False)
        path.write_bytes(self._sign(older))
        return path

    def intermediate(self, home: Path) -> Authority:
        """Another authority, whose certificate this one signed."""
        signed = Authority(home)
        certificate = (
            self._builder(signed._name, signed._key)
            .add_extension(x509.BasicConstraints(True, None), True)
            .add_extension(_usage(signs_certificates=True), True)
        )
        signed.ca.write_bytes(self._sign(certificate))
        return signed

    def certificate(
        self, name: str, *, begins_h: float = -1, ends_h: float = 1, dns: Sequence[str] | None = None
    ) -> TlsFiles:
        """Certificate and key for `name`, valid between these hours from now; `dns`: its DNS names instead of `name`.

        Without any DNS name it has no subjectAltName.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            self._builder(_name(name), key, begins_h, ends_h)
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(_usage(signs_certificates=False), True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False
            )
        )
        if names := [name] if dns is None else dns:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), False)
        files = TlsFiles(self.ca, self._home / f"{name}.pem", self._home / f"{name}.key")
        assert files.certificate is not None
        assert files.key is not None
        files.certificate.write_bytes(self._sign(builder))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, begins_h: float = -1, ends_h: float = 1
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(hours=begins_h))
            .not_valid_after(now + timedelta(hours=ends_h))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
