"""Decides on certificate requests: issue, wait for an operator, or refuse."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sync.contract.enrolment import REMEDIES, RejectionReason, refusal
from sync.errors import EnrolmentPending
from sync.platform.authority.certificates import BOX_DAYS, Authority, BoxKey, common_name
from sync.platform.authority.registry import BoxEntry, BoxStatus, Registry, RegistryTransaction

log = logging.getLogger(__name__)

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules of admission. A serial with one of the prefixes `accept` is accepted without an operator.

    A certificate that expired less than `grace` ago still identifies its box, but the box waits for an operator.
    """

    accept: tuple[str, ...] = ()
    days: int = BOX_DAYS
    grace: timedelta = timedelta(days=365)
    per_day: int = 6  # certificates of one box in 24 hours, beyond which a renewal must wait

    def accepts(self, box: BoxEntry) -> bool:
        return box.accepted_ahead or box.serial.startswith(self.accept)


class RenewedTooOften(EnrolmentPending):
    """The box has received as many certificates as a day allows; retry after `retry_after_s`."""


@dataclass(frozen=True, slots=True)
class IssueDecision:
    """The certificate for a request, None while it waits for an operator, and how many older ones were revoked."""

    certificate: x509.Certificate | None
    superseded: int = 0


async def publish_nothing() -> None:
    """For an authority without a broker."""


class Enroller:
    """Handles certificate requests; a repeated request returns the certificate that was issued for it.

    A box has one valid certificate, and a second one from its issue until its first use: a box that presents its newest
    certificate has its earlier ones revoked. `publish` is then called, to update the revocation lists.
    """

    def __init__(
        self,
        authority: Authority,
        registry: Registry,
        rules: Rules = Rules(),
        publish: Callable[[], Awaitable[None]] = publish_nothing,
    ) -> None:
        self._authority = authority
        self._registry = registry
        self._rules = rules
        self._publish = publish

    async def enrol(self, serial: str, token: str, request: bytes) -> Sequence[x509.Certificate]:
        """The certificate and its issuer for the box that presents its token.

        The key that used a token may repeat the request, for example if the response was lost, while the certificate
        for it is the newest one of the box and valid. Raises EnrolmentRefused, EnrolmentPending.
        """
        requested, key = read_request(request)
        digest = key_digest(key)

        def work(transaction: RegistryTransaction) -> IssueDecision:
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
            held = self._held(transaction, box, digest)
            if entry.used_by is not None and held is None and box.request != digest:
                raise refusal(RejectionReason.TOKEN_EXPIRED)  # it was for a certificate that is not valid any more
            transaction.use(token, digest)
            if held is not None:
                transaction.put(msgspec.structs.replace(box, status=BoxStatus.ACCEPTED, accepted_ahead=False))
                return IssueDecision(held)
            return self._issue(transaction, box, key, presented=_newest(box), trusted=False)

        return await self._result(serial, await self._registry.change(work))

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
        digest, number = key_digest(key), presented.serial_number
        if digest == key_digest(presented.public_key()):
            raise refusal(RejectionReason.SAME_KEY)

        def work(transaction: RegistryTransaction) -> IssueDecision:
            box = transaction.box(name=requested)
            if box is None or box.status is BoxStatus.REVOKED or transaction.is_revoked(number):
                raise refusal(RejectionReason.REVOKED)
            held = self._held(transaction, box, digest)
            if held is not None:
                return IssueDecision(held)
            if transaction.was_certified(box.name, digest):
                raise refusal(RejectionReason.SAME_KEY)
            self._check_rate(transaction, box)
            return self._issue(transaction, box, key, presented=number, trusted=now <= until)

        return await self._result(requested, await self._registry.change(work))

    async def confirm(self, presented: x509.Certificate) -> None:
        """Revoke the earlier certificates of the box that presents its newest one; any other has no effect."""
        now = self._registry.now()
        if not self._authority.issued(presented) or now > presented.not_valid_after_utc:
            return
        number = presented.serial_number

        def work(transaction: RegistryTransaction) -> int:
            box = transaction.box(name=common_name(presented.subject))
            if box is None or _newest(box) != number or transaction.is_revoked(number):
                return 0
            return transaction.revoke_certificates(box.name, now, keep=[number])

        if await self._registry.change(work):
            await self._publish()

    def _held(self, transaction: RegistryTransaction, box: BoxEntry, digest: str) -> x509.Certificate | None:
        """The newest certificate of `box`, if it is for the key with this digest and neither revoked nor expired."""
        if box.certificate is None or box.certificate_key != digest:
            return None
        held = x509.load_pem_x509_certificate(box.certificate)
        valid = self._registry.now() <= held.not_valid_after_utc and not transaction.is_revoked(held.serial_number)
        return held if valid else None

    def _check_rate(self, transaction: RegistryTransaction, box: BoxEntry) -> None:
        now = self._registry.now()
        issued = transaction.issued_between(box.name, now - _DAY, now)
        if len(issued) >= self._rules.per_day:
            wait_s = (issued[-self._rules.per_day] + _DAY - now).total_seconds()
            raise RenewedTooOften(REMEDIES[RejectionReason.TOO_MANY], max(wait_s, 1.0))

    def _issue(
        self, transaction: RegistryTransaction, box: BoxEntry, key: BoxKey, *, presented: int | None, trusted: bool
    ) -> IssueDecision:
        """Issue a certificate if the box is approved, and revoke all others except `presented`."""
        digest = key_digest(key)
        approved = box.status is BoxStatus.ACCEPTED and box.request == digest
        if not (trusted or approved or self._rules.accepts(box)):
            transaction.put(msgspec.structs.replace(box, status=BoxStatus.PENDING, request=digest))
            return IssueDecision(None)
        certificate, now = self._authority.box(box.name, key, self._rules.days), self._registry.now()
        number, until = certificate.serial_number, certificate.not_valid_after_utc
        transaction.add_certificate(number, box.name, digest, now, until)
        keep = [number] if presented is None else [number, presented]
        superseded = transaction.revoke_certificates(box.name, now, keep)
        transaction.put(
            msgspec.structs.replace(
                box,
                status=BoxStatus.ACCEPTED,
                accepted_ahead=False,
                request=None,
                certificate=certificate.public_bytes(Encoding.PEM),
                certificate_key=digest,
                expires=until,
            )
        )
        return IssueDecision(certificate, superseded)

    async def _result(self, who: str, decision: IssueDecision) -> Sequence[x509.Certificate]:
        issued = decision.certificate
        if issued is None:
            raise EnrolmentPending(f"{who} waits for an operator: edge-platform boxes accept")
        log.info("%s: certificate %x until %s", who, issued.serial_number, issued.not_valid_after_utc.date())
        if decision.superseded:
            await self._publish()
        return (issued, self._authority.issuing)


def _newest(box: BoxEntry) -> int | None:
    """The serial number of the newest certificate of `box`."""
    return None if box.certificate is None else x509.load_pem_x509_certificate(box.certificate).serial_number


def read_request(request: bytes) -> tuple[str, BoxKey]:
    """The name and the key in a PKCS#10 request (DER), whose signature proves possession of the key.

    Raises EnrolmentRefused.
    """
    try:
        read = x509.load_der_x509_csr(request)
        name, key, proven = common_name(read.subject), read.public_key(), read.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as exc:
        raise refusal(RejectionReason.BAD_REQUEST) from exc
    if not proven or not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.key_size < 256:
        raise refusal(RejectionReason.BAD_REQUEST)
    return name, key


def key_digest(key: CertificatePublicKeyTypes) -> str:
    """SHA-256 of a public key, as stored in the registry."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
