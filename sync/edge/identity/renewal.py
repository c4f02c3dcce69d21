"""The box's certificate is renewed long before it ends, and the old one is let go when the new one was proven."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509

from sync.edge.identity.box_identity import BoxIdentity
from sync.edge.identity.certificate_check import check_certificate_accepted
from sync.edge.identity.enrolment import enrolled
from sync.edge.identity.est_client import EstClient
from sync.errors import LinkRefused, SyncError, UnsafeLink
from sync.interruptible_sleep import rest
from sync.mqtt.broker_address import BrokerAddress, TlsFiles
from sync.mqtt.reconnect import Retry

log = logging.getLogger(__name__)

_LOOK_S = 3600.0  # the wall clock may be set meanwhile, so the date is looked at again and again
_FIRST_PAUSE_S = 300.0
_RETRY = Retry(cap_s=3600.0)


def renewal_due(begins: datetime, ends: datetime, share: float) -> datetime:
    """When to renew a certificate: at two thirds of its life, or up to a twelfth later by `share` in [0, 1)."""
    return begins + (ends - begins) * (2 / 3 + share / 12)


def share_of(certificate: x509.Certificate) -> float:
    """A number in [0, 1) that differs from box to box and stays the same for one certificate."""
    return (certificate.serial_number % 65_536) / 65_536


class Renewal:
    """Keeps the certificate of `identity` young; `broker_url` is where a new one is tried before it is used.

    The link reads its files anew with each connection, so nothing is restarted and no connection is cut.
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

    async def run(self) -> None:
        """Renew in time until cancelled; ends at once on a box that was never enrolled."""
        tries = 0
        while True:
            try:
                if self._identity.place() is None:
                    return
                wait_s = self.due_in().total_seconds()
                if wait_s <= 0:
                    await self.renew()
            except (SyncError, OSError) as exc:
                if tries == 0:
                    log.warning("certificate not renewed yet: %s", exc)
                wait_s = self._retry.pause_s(tries, _FIRST_PAUSE_S)
                tries += 1
            else:
                tries = 0
            await rest(min(max(wait_s, 0.0), _LOOK_S))

    def due_in(self) -> timedelta:
        """How long until the certificate is to be renewed; negative afterwards. Raises UnsafeLink, OSError."""
        certificate = self._identity.certificate()
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return renewal_due(begins, ends, share_of(certificate)) - self._now()

    async def renew(self) -> None:
        """Get a certificate for a new key, try it at the broker, and only then use it.

        Whatever is raised, the certificate in use stays in use: LinkLost, EnrolmentPending (the old one had expired and
        an operator has to look), EnrolmentRefused, AuthorityUntrusted, BrokerUntrusted, LinkRefused, BadMessage,
        UnsafeLink, OSError.
        """
        offered = self._identity.offered() or await self._fetch()
        try:
            await check_certificate_accepted(BrokerAddress.from_url(self._broker_url, offered))
        except LinkRefused:
            self._identity.forget_next()  # the next try is for another certificate
            raise
        self._identity.take_over()
        log.info("certificate renewed until %s", enrolled(self._identity).until.date())

    async def _fetch(self) -> TlsFiles:
        """The next certificate, and the roots as the authority has them now."""
        place = self._identity.place()
        if place is None:
            raise UnsafeLink("this box is not enrolled")
        authority = EstClient(place.url, self._identity.roots(), self._identity.files)
        granted = await authority.renew(self._identity.request(enrolled(self._identity).box))
        return self._identity.offer(granted, await authority.roots())
