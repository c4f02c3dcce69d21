"""Client of the authority: EST (RFC 7030) over HTTPS. Every answer is verified, every wait is limited."""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import ClientError, ClientSession, ClientTimeout, hdrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from sync.contract.enrolment import (
    BODY_LIMIT_BYTES,
    CACERTS,
    REASON_HEADER,
    REMEDIES,
    REQUEST_TYPE,
    SIMPLEENROLL,
    SIMPLEREENROLL,
    RejectionReason,
    check_est_url,
    refusal,
    to_basic,
)
from sync.errors import AuthorityUntrusted, BadMessage, EnrolmentPending, LinkLost, UnsafeLink
from sync.mqtt.pinned_ca import accept_older_certificates
from sync.mqtt.tls_errors import describe
from sync.mqtt.tls_files import TlsFiles, load_own_certificate
from sync.storage.text_file import NotText

Certificates = Sequence[x509.Certificate]

_TIMEOUT_S = 20.0
_RETRY_AFTER_S = (1.0, 3600.0)


class EstClient:
    """Client of the authority at `url`, whose server certificate must be signed by `roots`.

    `own`: the current certificate of the box, for client authentication. Methods raise LinkLost, AuthorityUntrusted,
    BadMessage.
    """

    def __init__(self, url: str, roots: Certificates, own: TlsFiles | None = None) -> None:
        """Raises UnsafeLink if the files cannot be used, ValueError for an invalid `url`."""
        self._url = check_est_url(url)
        self._context = _trusting(roots, own)

    async def roots(self) -> Certificates:
        """The current roots of the authority."""
        return _certificates(await _send("GET", f"{self._url}{CACERTS}", self._context))

    async def enrol(self, serial: str, token: str, request: bytes) -> Certificates:
        """The first certificate and its issuers. Raises EnrolmentRefused, EnrolmentPending."""
        headers = {str(hdrs.AUTHORIZATION): to_basic(serial, token)}
        return _issued(await _send("POST", f"{self._url}{SIMPLEENROLL}", self._context, request, headers))

    async def renew(self, request: bytes) -> Certificates:
        """The next certificate and its issuers. Raises EnrolmentRefused, EnrolmentPending."""
        return _issued(await _send("POST", f"{self._url}{SIMPLEREENROLL}", self._context, request))


async def roots_by_fingerprint(url: str, sha256: str) -> Certificates:
    """Download the root with this fingerprint (bootstrap of RFC 7030 section 4.1.1).

    A new box trusts no authority yet, so this connection is not verified. No data of the box is sent over it; the roots
    are public and verified by the fingerprint from the enrolment sheet. Raises AuthorityUntrusted if the server does
    not offer this root; LinkLost, BadMessage.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    offered = _certificates(await _send("GET", f"{check_est_url(url)}{CACERTS}", context))
    matching = [each for each in offered if each.fingerprint(hashes.SHA256()).hex() == sha256]
    if not matching:
        raise AuthorityUntrusted(
            f"{url}: 机构指纹与登记单不符：请核对地址和登记单，勿继续。"
            " The fingerprint of the authority differs from the sheet: check the address and the sheet; do not continue"
        )
    return matching


class _Answer(NamedTuple):
    status: int
    body: bytes
    reason: str | None
    retry_after_s: float


async def _send(
    method: str, url: str, context: ssl.SSLContext, request: bytes | None = None, headers: dict[str, str] | None = None
) -> _Answer:
    body = None if request is None else base64.encodebytes(request)
    typed = {} if request is None else {hdrs.CONTENT_TYPE: REQUEST_TYPE, "Content-Transfer-Encoding": "base64"}
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=_TIMEOUT_S)) as session,
            session.request(
                method, url, data=body, headers={**typed, **(headers or {})}, ssl=context, allow_redirects=False
            ) as answer,
        ):
            read = await answer.content.read(4 * BODY_LIMIT_BYTES)
            retry_after_s = _seconds(answer.headers.get(hdrs.RETRY_AFTER, ""))
            return _Answer(answer.status, read, answer.headers.get(REASON_HEADER), retry_after_s)
    except (ClientError, OSError) as exc:
        tls_error = _tls_error(exc)
        if tls_error is not None:
            raise AuthorityUntrusted(f"{url}: {describe(tls_error)}") from exc
        why = getattr(exc, "strerror", None) or exc or "no answer"  # aiohttp's own messages contain object names
        raise LinkLost(
            f"{url}: 无法连接登记服务：请检查网线和登记地址，稍后重试。"
            f" Cannot reach the authority: check the network cable and the address, and try again later ({why})"
        ) from exc


def _tls_error(exc: BaseException | None) -> ssl.SSLError | None:
    """The TLS error that caused an aiohttp exception; aiohttp's own subclasses of SSLError are skipped."""
    while exc is not None:
        if isinstance(exc, ssl.SSLError) and not isinstance(exc, ClientError):
            return exc
        exc = exc.__cause__ or exc.__context__
    return None


def _issued(answer: _Answer) -> Certificates:
    if answer.status == 202:
        raise EnrolmentPending(
            "等待平台人员接受本机。 Waiting for an operator to accept this box: edge-platform boxes accept",
            answer.retry_after_s,
        )
    if answer.status == 429:
        raise EnrolmentPending(REMEDIES[RejectionReason.TOO_MANY], answer.retry_after_s)
    if answer.reason in set(RejectionReason):
        raise refusal(RejectionReason(answer.reason))
    return _certificates(answer)


def _certificates(answer: _Answer) -> Certificates:
    if answer.status == 429 or answer.status >= 500:
        raise LinkLost(f"the authority answered with HTTP status {answer.status}")
    if answer.status != 200:
        raise BadMessage(f"the authority answered with HTTP status {answer.status}")
    try:
        found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(b"".join(answer.body.split()), validate=True))
    except (binascii.Error, ValueError) as exc:
        raise BadMessage("the answer of the authority contains no certificates") from exc
    return _in_order(found)


def _in_order(found: Certificates) -> Certificates:
    """Sort certificates with the end-entity certificate first, because PKCS#7 is an unordered set."""
    issuers = {each.issuer for each in found}
    return sorted(found, key=lambda each: (each.subject in issuers, each.subject.rfc4514_string()))


def _seconds(text: str) -> float:
    least, most = _RETRY_AFTER_S
    return min(max(float(text), least), most) if text.isascii() and text.isdecimal() else 30.0


def _trusting(roots: Certificates, own: TlsFiles | None) -> ssl.SSLContext:
    """A context that trusts `roots` and nothing else."""
    try:
        context = ssl.create_default_context(cadata="".join(each.public_bytes(Encoding.PEM).decode() for each in roots))
        accept_older_certificates(context)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        load_own_certificate(context, own or TlsFiles())
    except (OSError, NotText) as exc:
        raise UnsafeLink(f"cannot use the certificates: {exc}") from exc
    return context
