"""The authority as the box sees it: EST (RFC 7030) over HTTPS. Every answer is checked, every wait is limited."""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Sequence
from pathlib import Path
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
from sync.mqtt.broker_address import TlsFiles
from sync.mqtt.pinned_ca import accept_older_certificates
from sync.mqtt.tls_errors import describe

Certificates = Sequence[x509.Certificate]

_TIMEOUT_S = 20.0
_RETRY_AFTER_S = (1.0, 3600.0)


class EstClient:
    """Asks the authority at `url`, whose server must be certified by `roots`.

    With `own` the box shows its present certificate. Everything raises LinkLost, AuthorityUntrusted, BadMessage.
    """

    def __init__(self, url: str, roots: Certificates, own: TlsFiles | None = None) -> None:
        """Raises UnsafeLink when the files cannot be used."""
        self._url = check_est_url(url)
        self._context = _trusting(roots, own)

    async def roots(self) -> Certificates:
        """The roots to trust from now on."""
        answer = await _ask("GET", f"{self._url}{CACERTS}", self._context)
        return _certificates(answer)

    async def enrol(self, serial: str, token: str, request: bytes) -> Certificates:
        """The first certificate and its issuers. Raises EnrolmentRefused, EnrolmentPending."""
        shown = {str(hdrs.AUTHORIZATION): to_basic(serial, token)}
        return _granted(await _ask("POST", f"{self._url}{SIMPLEENROLL}", self._context, request, shown))

    async def renew(self, request: bytes) -> Certificates:
        """The next certificate and its issuers. Raises EnrolmentRefused, EnrolmentPending."""
        return _granted(await _ask("POST", f"{self._url}{SIMPLEREENROLL}", self._context, request))


async def roots_by_fingerprint(url: str, sha256: str) -> Certificates:
    """The root with this fingerprint, as RFC 7030 4.1.1 lets a new box learn it.

    The box knows no authority yet, so this one connection cannot be verified: nothing of the box goes over it, and
    what comes is public and believed by its fingerprint alone, which came with the sheet. Raises AuthorityUntrusted
    when the server has no such root; LinkLost, BadMessage.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    found = _certificates(await _ask("GET", f"{check_est_url(url)}{CACERTS}", context))
    named = [each for each in found if each.fingerprint(hashes.SHA256()).hex() == sha256]
    if not named:
        raise AuthorityUntrusted(
            f"{url}: 机构指纹与登记单不符：请核对地址和登记单，勿继续。"
            " The authority there has another fingerprint than the sheet: check the address and the sheet, do not go on"
        )
    return named


def fingerprint_from(ca_file: Path) -> str:
    """The fingerprint of the root in a PEM file that was brought by hand. Raises UnsafeLink."""
    try:
        roots = [each for each in x509.load_pem_x509_certificates(ca_file.read_bytes()) if each.issuer == each.subject]
    except (OSError, ValueError) as exc:
        raise UnsafeLink(f"{ca_file}: {exc}") from exc
    if len(roots) != 1:
        raise UnsafeLink(f"{ca_file} must hold exactly one root certificate")
    return roots[0].fingerprint(hashes.SHA256()).hex()


class _Answer(NamedTuple):
    status: int
    body: bytes
    reason: str | None
    retry_after_s: float


async def _ask(
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
        trouble = _tls_trouble(exc)
        if trouble is not None:
            raise AuthorityUntrusted(f"{url}: {describe(trouble)}") from exc
        why = getattr(exc, "strerror", None) or exc or "no answer"  # aiohttp's own words name objects
        raise LinkLost(
            f"{url}: 无法连接登记服务：请检查网线和登记地址，稍后重试。"
            f" The authority cannot be reached: check the cable and the address, try again later ({why})"
        ) from exc


def _tls_trouble(exc: BaseException | None) -> ssl.SSLError | None:
    """The TLS error at the root of what aiohttp raised, whose own errors only look like one."""
    while exc is not None:
        if isinstance(exc, ssl.SSLError) and not isinstance(exc, ClientError):
            return exc
        exc = exc.__cause__ or exc.__context__
    return None


def _granted(answer: _Answer) -> Certificates:
    if answer.status == 202:
        raise EnrolmentPending(
            "等待平台人员接受本机。 This box waits for an operator: edge-platform boxes accept", answer.retry_after_s
        )
    if answer.status == 429:
        raise EnrolmentPending(REMEDIES[RejectionReason.TOO_MANY], answer.retry_after_s)
    if answer.reason in set(RejectionReason):
        raise refusal(RejectionReason(answer.reason))
    return _certificates(answer)


def _certificates(answer: _Answer) -> Certificates:
    if answer.status == 429 or answer.status >= 500:
        raise LinkLost(f"the authority answered with status {answer.status}")
    if answer.status != 200:
        raise BadMessage(f"the authority answered with status {answer.status}")
    try:
        found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(b"".join(answer.body.split()), validate=True))
    except (binascii.Error, ValueError) as exc:
        raise BadMessage("the authority's answer holds no certificates") from exc
    return _in_order(found)


def _in_order(found: Certificates) -> Certificates:
    """The one that signed none of the others first; PKCS#7 is a set and keeps no order."""
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
        if own is not None and own.certificate is not None:
            context.load_cert_chain(own.certificate, own.key)
    except OSError as exc:
        raise UnsafeLink(f"the certificates cannot be used: {exc}") from exc
    return context
