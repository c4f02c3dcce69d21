"""Renews the certificate of the box well before it expires; the old one is replaced after the new one was tested."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509

from sync.edge.identity.box_identity import BoxIdentity
from sync.edge.identity.certificate_check import check_certificate_accepted
from sync.edge.identity.enrolment import read_enrolment
from sync.edge.identity.est_client import EstClient
from sync.errors import LinkRefused, SyncError, UnsafeLink
from sync.interruptible_sleep import rest
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.reconnect import Retry
from sync.mqtt.tls_files import TlsFiles

log = logging.getLogger(__name__)

_CHECK_INTERVAL_S = 3600.0  # the wall clock may be set meanwhile, so the date is checked regularly
_FIRST_PAUSE_S = 300.0
_RETRY = Retry(cap_s=3600.0)


def renewal_due(begins: datetime, ends: datetime, share: float) -> datetime:
    """When to renew a certificate: after two thirds of its validity, plus up to a twelfth by `share` in [0, 1)."""
    return begins + (ends - begins) * (2 / 3 + share / 12)


def share_from(certificate: x509.Certificate) -> float:
    """A number in [0, 1) from the serial number of the certificate, which spreads renewals over the boxes."""
    return (certificate.serial_number % 65_536) / 65_536


class Renewal:
    """Renews the certificate of `identity`; a new one is tested at `broker_url` before it is used.

    The link reloads its files at each connection, so that nothing is restarted and no connection is closed.
    """

    def __init__(
        self,
        identity: BoxIdentity,
        broker_url: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        retry: Retry = _RETRY,
    ) -> None:
        self._identity = identity
        self._broker_url = broker_url
        self._now = now
        self._retry = retry
        self._confirmed: int | None = None  # serial number of the certificate that the authority knows to be in use

    async def run(self) -> None:
        """Renew when due, until cancelled; returns immediately on a box that was never enrolled."""
        tries = 0
        while True:
            try:
                if self._identity.origin() is None:
                    return
                wait_s = self.due_in().total_seconds()
                if wait_s <= 0:
                    await self.renew()
                await self.confirm()
            except (SyncError, OSError) as exc:
                if tries == 0:
                    log.warning("certificate not renewed or not confirmed yet: %s", exc)
                wait_s = self._retry.pause_s(tries, _FIRST_PAUSE_S)
                tries += 1
            else:
                tries = 0
            await rest(min(max(wait_s, 0.0), _CHECK_INTERVAL_S))

    def due_in(self) -> timedelta:
        """Time until the renewal is due; negative afterwards. Raises UnsafeLink, OSError."""
        certificate = self._identity.certificate()
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return renewal_due(begins, ends, share_from(certificate)) - self._now()

    async def renew(self) -> None:
        """Request a certificate for a new key, test it at the broker, then use it.

        On any exception the current certificate stays in use: LinkLost, EnrolmentPending (the current one has expired
        and an operator must approve), EnrolmentRefused, AuthorityUntrusted, BrokerUntrusted, LinkRefused, BadMessage,
        UnsafeLink, OSError.
        """
        files = self._identity.next_files() or await self._fetch()
        try:
            await check_certificate_accepted(BrokerAddress.from_url(self._broker_url, files))
        except LinkRefused:
            self._identity.delete_next()  # the next attempt requests another certificate
            raise
        self._identity.activate_next()
        log.info("certificate renewed until %s", read_enrolment(self._identity).until.date())

    async def confirm(self) -> None:
        """Present the certificate in use to the authority, which then revokes the earlier ones of this box.

        Once for each certificate and process; an authority of an earlier version ignores it. Raises LinkLost,
        AuthorityUntrusted, BadMessage, UnsafeLink, OSError.
        """
        origin, number = self._identity.origin(), self._identity.certificate().serial_number
        if origin is not None and self._confirmed != number:
            await EstClient(origin.url, self._identity.roots(), self._identity.files).roots()
            self._confirmed = number

    async def _fetch(self) -> TlsFiles:
        """Request and store the next certificate and the current roots of the authority."""
        origin = self._identity.origin()
        if origin is None:
            raise UnsafeLink("this box is not enrolled")
        authority = EstClient(origin.url, self._identity.roots(), self._identity.files)
        certificates = await authority.renew(self._identity.request(read_enrolment(self._identity).box))
        return self._identity.save_next(certificates, await authority.roots())
