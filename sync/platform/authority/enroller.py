"""Decides on certificate requests: issue, wait for an operator, or refuse."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sync.contract.enrolment import RejectionReason, refusal
from sync.errors import EnrolmentPending
from sync.platform.authority.certificates import BOX_DAYS, Authority, BoxKey, common_name
from sync.platform.authority.registry import BoxEntry, BoxStatus, Registry, RegistryTransaction

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules of admission. A serial with one of the prefixes `accept` is accepted without an operator.

    A certificate that expired less than `grace` ago still identifies its box, but the box waits for an operator.
    """

    accept: tuple[str, ...] = ()
    days: int = BOX_DAYS
    grace: timedelta = timedelta(days=365)

    def accepts(self, box: BoxEntry) -> bool:
        return box.accepted_ahead or box.serial.startswith(self.accept)


class Enroller:
    """Handles certificate requests; a repeated request returns the certificate that was issued for it."""

    def __init__(self, authority: Authority, registry: Registry, rules: Rules = Rules()) -> None:
        self._authority = authority
        self._registry = registry
        self._rules = rules

    async def enrol(self, serial: str, token: str, request: bytes) -> Sequence[x509.Certificate]:
        """The certificate and its issuer for the box that presents its token.

        The key that used a token may repeat the request, for example if the response was lost. Raises
        EnrolmentRefused, EnrolmentPending.
        """
        requested, key = read_request(request)
        digest = key_digest(key)

        def work(transaction: RegistryTransaction) -> Outcome:
            entry, box = transaction.token(token), transaction.box(serial=serial)
            if entry is None:
                raise refusal(RejectionReason.TOKEN_UNKNOWN)
            if entry.serial != serial or box is None:
                raise refusal(RejectionReason.TOKEN_OTHER_SERIAL)
            if requested != serial:
                raise refusal(RejectionReason.OTHER_NAME)
            if box.status is BoxStatus.REVOKED:
                raise refusal(RejectionReason.REVOKED)
            if entry.used_by not in (None, digest):
                raise refusal(RejectionReason.TOKEN_USED)
            if entry.used_by is None and self._registry.now() > entry.expires:
                raise refusal(RejectionReason.TOKEN_EXPIRED)
            transaction.use(token, digest)
            return self._issue(transaction, box, key, trusted=False)

        return self._result(serial, await self._registry.change(work))

    async def renew(self, presented: x509.Certificate | None, request: bytes) -> Sequence[x509.Certificate]:
        """The next certificate and its issuer for the box that presents its current one.

        Raises EnrolmentRefused, EnrolmentPending.
        """
        requested, key = read_request(request)
        if presented is None or not self._authority.issued(presented):
            raise refusal(RejectionReason.NO_CERTIFICATE)
        if requested != common_name(presented.subject):
            raise refusal(RejectionReason.OTHER_NAME)
        now, until = self._registry.now(), presented.not_valid_after_utc
        if now > until + self._rules.grace:
            raise refusal(RejectionReason.CERTIFICATE_TOO_OLD)
        if key_digest(key) == key_digest(presented.public_key()):
            raise refusal(RejectionReason.SAME_KEY)

        def work(transaction: RegistryTransaction) -> Outcome:
            box = transaction.box(name=requested)
            if box is None or box.status is BoxStatus.REVOKED or transaction.is_revoked(presented.serial_number):
                raise refusal(RejectionReason.REVOKED)
            return self._issue(transaction, box, key, trusted=now <= until)

        return self._result(requested, await self._registry.change(work))

    def _issue(self, transaction: RegistryTransaction, box: BoxEntry, key: BoxKey, *, trusted: bool) -> Outcome:
        digest = key_digest(key)
        if box.certificate is not None and box.certificate_key == digest:
            return x509.load_pem_x509_certificate(box.certificate)
        approved = box.status is BoxStatus.ACCEPTED and box.request == digest
        if not (trusted or approved or self._rules.accepts(box)):
            transaction.put(msgspec.structs.replace(box, status=BoxStatus.PENDING, request=digest))
            return None
        certificate = self._authority.box(box.name, key, self._rules.days)
        transaction.add_certificate(certificate.serial_number, box.name, certificate.not_valid_after_utc)
        transaction.put(
            msgspec.structs.replace(
                box,
                status=BoxStatus.ACCEPTED,
                accepted_ahead=False,
                request=None,
                certificate=certificate.public_bytes(Encoding.PEM),
                certificate_key=digest,
                expires=certificate.not_valid_after_utc,
            )
        )
        return certificate

    def _result(self, who: str, outcome: Outcome) -> Sequence[x509.Certificate]:
        if outcome is None:
            raise EnrolmentPending(f"{who} waits for an operator: edge-platform boxes accept")
        log.info("%s: certificate %x until %s", who, outcome.serial_number, outcome.not_valid_after_utc.date())
        return (outcome, self._authority.issuing)


Outcome = x509.Certificate | None  # None: waits for an operator


def read_request(request: bytes) -> tuple[str, BoxKey]:
    """The name and the key in a PKCS#10 request (DER), whose signature proves possession of the key.

    Raises EnrolmentRefused.
    """
    try:
        read = x509.load_der_x509_csr(request)
        key, proven = read.public_key(), read.is_signature_valid
    except ValueError as exc:
        raise refusal(RejectionReason.BAD_REQUEST) from exc
    if not proven or not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.key_size < 256:
        raise refusal(RejectionReason.BAD_REQUEST)
    return common_name(read.subject), key


def key_digest(key: CertificatePublicKeyTypes) -> str:
    """SHA-256 of a public key, as stored in the registry."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
