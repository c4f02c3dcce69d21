"""The authority over HTTPS: the three operations of EST (RFC 7030) that boxes use."""

from __future__ import annotations

import base64
import binascii
import logging
import math
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import hdrs, web
from aiohttp.web import RequestPayloadError
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates

from sync.contract.enrolment import (
    ANSWER_TYPE,
    BODY_LIMIT_BYTES,
    CACERTS,
    REASON_HEADER,
    REMEDIES,
    SIMPLEENROLL,
    SIMPLEREENROLL,
    RejectionReason,
    from_basic,
    refusal,
)
from sync.errors import EnrolmentPending, EnrolmentRefused
from sync.mqtt.pinned_ca import accept_older_certificates
from sync.platform.authority.certificates import Authority
from sync.platform.authority.enroller import Enroller, RenewedTooOften
from sync.platform.authority.limit import RateLimit
from sync.platform.authority.own import write_server_files
from sync.platform.http_server.client_network import client_network
from sync.platform.http_server.limited_server import DEFAULT_LIMITS, LimitedServer, ServerLimits

log = logging.getLogger(__name__)

_ANSWER_TYPE = f"{ANSWER_TYPE}; smime-type=certs-only"
_STATUS = {
    RejectionReason.BAD_REQUEST: 400,
    RejectionReason.OTHER_NAME: 403,
    RejectionReason.SAME_KEY: 400,
    RejectionReason.REVOKED: 403,
}
# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which Python has no name. The enroller decides whether it accepts an
# expired certificate; TLS verifies everything else.
_NO_CHECK_TIME = 0x200000


class EstServer:
    """EST server. `hosts` are the names and addresses at which boxes reach it.

    A box that waits for an operator polls every `retry_after_s`. The rate limit of a serial is six times that rate. The
    rate limit of an address admits 60 waiting boxes behind one router, with bursts of twice that number.
    """

    def __init__(
        self,
        authority: Authority,
        enroller: Enroller,
        folder: Path,
        hosts: Sequence[str],
        retry_after_s: int = 30,
        now_s: Callable[[], float] = time.monotonic,
        limits: ServerLimits = DEFAULT_LIMITS,
    ) -> None:
        """`now_s` is the clock of the rate limits."""
        self._addresses = RateLimit(120, retry_after_s / 60, now=now_s)
        self._serials = RateLimit(20, retry_after_s / 6, now=now_s)
        self._authority = authority
        self._enroller = enroller
        self._hosts = hosts
        self._retry_after_s = retry_after_s
        self._folder = folder
        self._limits = limits

    @asynccontextmanager
    async def served(self, host: str, port: int) -> AsyncIterator[int]:
        """Serve on `host`; yields the port, which the system chooses if `port` is 0. Raises OSError."""
        application = web.Application(client_max_size=BODY_LIMIT_BYTES, middlewares=[self._limited])
        application.add_routes(
            [
                web.get(CACERTS, self._ca_certificates),
                web.post(SIMPLEENROLL, self._enrol),
                web.post(SIMPLEREENROLL, self._renew),
            ]
        )
        server = LimitedServer(application, [*self._hosts, host], self._limits, self._context())
        async with server.served(host, port) as chosen:
            yield chosen

    def _context(self) -> ssl.SSLContext:
        """A TLS context with a new server certificate."""
        files = write_server_files(self._authority, self._folder, "est", self._hosts)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.ca)
        accept_older_certificates(context)
        context.load_cert_chain(self._folder / "est.pem", files.key)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_OPTIONAL  # a box without a certificate presents a token
        context.verify_flags |= _NO_CHECK_TIME
        return context

    @web.middleware
    async def _limited(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        wait_s = self._addresses.wait_s(client_network(request.remote))
        return _too_many(wait_s) if wait_s else await handler(request)

    async def _ca_certificates(self, request: web.Request) -> web.Response:
        if (presented := _client_certificate(request)) is not None:
            await self._enroller.confirm(presented)
        return _certificates([self._authority.root])

    async def _enrol(self, request: web.Request) -> web.Response:
        try:
            serial, token = _credentials(request)
            if wait_s := self._serials.wait_s(serial):
                return _too_many(wait_s)
            return _certificates(await self._enroller.enrol(serial, token, await _body(request)))
        except (EnrolmentRefused, EnrolmentPending) as exc:
            return self._rejection(exc, request)

    async def _renew(self, request: web.Request) -> web.Response:
        try:
            return _certificates(await self._enroller.renew(_client_certificate(request), await _body(request)))
        except (EnrolmentRefused, EnrolmentPending) as exc:
            return self._rejection(exc, request)

    def _rejection(self, error: EnrolmentRefused | EnrolmentPending, request: web.Request) -> web.Response:
        if isinstance(error, RenewedTooOften):
            return _too_many(error.retry_after_s)
        if isinstance(error, EnrolmentPending):
            return web.Response(status=202, text=str(error), headers={hdrs.RETRY_AFTER: str(self._retry_after_s)})
        log.warning("%s from %s refused: %s", request.path, request.remote, error.reason)
        status = _STATUS.get(RejectionReason(error.reason), 401)
        headers = {REASON_HEADER: error.reason}
        if status == 401:
            headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="sentinel"'
        return web.Response(status=status, text=str(error), headers=headers)


def _too_many(wait_s: float) -> web.Response:
    """The response to a rate-limited request. It is not logged, so that a flood of requests does not fill the log."""
    headers = {REASON_HEADER: RejectionReason.TOO_MANY.value, hdrs.RETRY_AFTER: str(math.ceil(wait_s))}
    return web.Response(status=429, text=REMEDIES[RejectionReason.TOO_MANY], headers=headers)


def _credentials(request: web.Request) -> tuple[str, str]:
    """Serial and token of HTTP Basic authentication. Raises EnrolmentRefused."""
    try:
        return from_basic(request.headers.get(hdrs.AUTHORIZATION, ""))
    except ValueError as exc:
        raise refusal(RejectionReason.TOKEN_UNKNOWN) from exc


async def _body(request: web.Request) -> bytes:
    """The certificate request, DER. Raises EnrolmentRefused."""
    try:
        return base64.b64decode(b"".join((await request.read()).split()), validate=True)
    except (binascii.Error, RequestPayloadError) as exc:
        raise refusal(RejectionReason.BAD_REQUEST) from exc


def _client_certificate(request: web.Request) -> x509.Certificate | None:
    """The client certificate of the TLS session."""
    tls = request.transport and request.transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls else None
    return x509.load_der_x509_certificate(certificate) if certificate else None


def _certificates(certificates: Sequence[x509.Certificate]) -> web.Response:
    body = base64.encodebytes(serialize_certificates(list(certificates), Encoding.DER))
    return web.Response(body=body, headers={hdrs.CONTENT_TYPE: _ANSWER_TYPE, "Content-Transfer-Encoding": "base64"})
