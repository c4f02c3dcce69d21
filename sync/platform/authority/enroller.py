"""Who gets a certificate, who waits and who is refused."""

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
    """How boxes are let in. A serial that begins with one of `accept` need not wait for an operator.

    A certificate that expired less than `grace` ago still says who a box is: it waits for an operator, and is not lost.
    """

    accept: tuple[str, ...] = ()
    days: int = BOX_DAYS
    grace: timedelta = timedelta(days=365)

    def accepts(self, box: BoxEntry) -> bool:
        return box.accepted_ahead or box.serial.startswith(self.accept)


class Enroller:
    """Answers requests for certificates, each once, whatever is sent again."""

    def __init__(self, authority: Authority, registry: Registry, rules: Rules = Rules()) -> None:
        self._authority = authority
        self._registry = registry
        self._rules = rules

    async def enrol(self, serial: str, token: str, request: bytes) -> Sequence[x509.Certificate]:
        """The certificate and its issuer for the box that shows its token.

        The same key may ask again, as one does whose answer was lost; to any other the token is used. Raises
        EnrolmentRefused, EnrolmentPending.
        """
        named, key = read_request(request)
        digest = token_digest(key)

        def work(book: RegistryTransaction) -> Outcome:
            entry, box = book.token(token), book.box(serial=serial)
            if entry is None:
                raise refusal(RejectionReason.TOKEN_UNKNOWN)
            if entry.serial != serial or box is None:
                raise refusal(RejectionReason.TOKEN_OTHER_SERIAL)
            if named != serial:
                raise refusal(RejectionReason.OTHER_NAME)
            if box.status is BoxStatus.REVOKED:
                raise refusal(RejectionReason.REVOKED)
            if entry.used_by not in (None, digest):
                raise refusal(RejectionReason.TOKEN_USED)
            if entry.used_by is None and self._registry.now() > entry.expires:
                raise refusal(RejectionReason.TOKEN_EXPIRED)
            book.use(token, digest)
            return self._settle(book, box, key, trusted=False)

        return self._told(serial, await self._registry.change(work))

    async def renew(self, shown: x509.Certificate | None, request: bytes) -> Sequence[x509.Certificate]:
        """The next certificate and its issuer for the box that shows its present one.

        Raises EnrolmentRefused, EnrolmentPending.
        """
        named, key = read_request(request)
        if shown is None or not self._authority.issued(shown):
            raise refusal(RejectionReason.NO_CERTIFICATE)
        if named != common_name(shown.subject):
            raise refusal(RejectionReason.OTHER_NAME)
        now, until = self._registry.now(), shown.not_valid_after_utc
        if now > until + self._rules.grace:
            raise refusal(RejectionReason.CERTIFICATE_TOO_OLD)
        if token_digest(key) == token_digest(shown.public_key()):
            raise refusal(RejectionReason.SAME_KEY)

        def work(book: RegistryTransaction) -> Outcome:
            box = book.box(name=named)
            if box is None or box.status is BoxStatus.REVOKED or book.is_revoked(shown.serial_number):
                raise refusal(RejectionReason.REVOKED)
            return self._settle(book, box, key, trusted=now <= until)

        return self._told(named, await self._registry.change(work))

    def _settle(self, book: RegistryTransaction, box: BoxEntry, key: BoxKey, *, trusted: bool) -> Outcome:
        digest = token_digest(key)
        if box.certificate is not None and box.certificate_key == digest:
            return x509.load_pem_x509_certificate(box.certificate)
        looked_at = box.status is BoxStatus.ACCEPTED and box.request == digest
        if not (trusted or looked_at or self._rules.accepts(box)):
            book.put(msgspec.structs.replace(box, status=BoxStatus.PENDING, request=digest))
            return None
        made = self._authority.box(box.name, key, self._rules.days)
        book.note_certificate(made.serial_number, box.name, made.not_valid_after_utc)
        book.put(
            msgspec.structs.replace(
                box,
                status=BoxStatus.ACCEPTED,
                accepted_ahead=False,
                request=None,
                certificate=made.public_bytes(Encoding.PEM),
                certificate_key=digest,
                expires=made.not_valid_after_utc,
            )
        )
        return made

    def _told(self, who: str, outcome: Outcome) -> Sequence[x509.Certificate]:
        if outcome is None:
            raise EnrolmentPending(f"{who} waits for an operator: edge-platform boxes accept")
        log.info("%s: certificate %x until %s", who, outcome.serial_number, outcome.not_valid_after_utc.date())
        return (outcome, self._authority.issuing)


Outcome = x509.Certificate | None  # None: it waits


def read_request(request: bytes) -> tuple[str, BoxKey]:
    """The name and the key in a PKCS#10 request (DER); its signature proves that the sender has the key.

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


def token_digest(key: CertificatePublicKeyTypes) -> str:
    """What names a public key in the registry."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
