"""A new box becomes one of the district's: token in, certificate out."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography.x509.oid import NameOID

from sync.contract.enrolment import Invitation
from sync.contract.topics import check_name
from sync.edge.identity.box_identity import BoxIdentity, Place
from sync.edge.identity.est_client import EstClient, roots_by_fingerprint
from sync.errors import EnrolmentPending, UnsafeLink
from sync.mqtt.broker_address import TlsFiles


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What the authority says the box is, and the files it speaks to the broker with."""

    district: str
    box: str
    until: datetime
    files: TlsFiles


async def enrol(
    identity: BoxIdentity,
    invitation: Invitation,
    *,
    limit_s: float = 900.0,
    on_waiting: Callable[[float], None] = lambda _: None,
) -> Enrolled:
    """Enrol this box as `invitation` says, and keep what comes in `identity`; one that it came by already asks nobody.

    While the box waits for an operator `on_waiting` hears after how many seconds it asks again; after `limit_s` of
    that EnrolmentPending is raised, and a later call goes on with the same key. Raises LinkLost (try later),
    AuthorityUntrusted (do not go on), EnrolmentRefused (its reason says what must change), BadMessage, UnsafeLink,
    OSError.
    """
    digest = hashlib.sha256(invitation.token.encode()).hexdigest()
    place = Place(invitation.url, invitation.serial, digest)
    if identity.place() == place and identity.offered() is None:
        return enrolled(identity)
    roots = await roots_by_fingerprint(invitation.url, invitation.ca_sha256)
    authority = EstClient(invitation.url, roots)
    request = identity.request(invitation.serial)
    ends_s = time.monotonic() + limit_s
    while True:
        try:
            granted = await authority.enrol(invitation.serial, invitation.token, request)
            break
        except EnrolmentPending as exc:
            if time.monotonic() + exc.retry_after_s > ends_s:
                raise
            on_waiting(exc.retry_after_s)
            await asyncio.sleep(exc.retry_after_s)
    identity.offer(granted, roots)
    identity.place_is(place)
    identity.take_over()
    return enrolled(identity)


def enrolled(identity: BoxIdentity) -> Enrolled:
    """What the certificate in use says. Raises UnsafeLink when there is none, or none that can be used."""
    certificate = identity.certificate()
    try:
        district, box = (
            check_name(str(certificate.subject.get_attributes_for_oid(oid)[0].value))
            for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
        )
    except (IndexError, ValueError) as exc:
        raise UnsafeLink("the certificate names no district and box; enrol this box anew") from exc
    return Enrolled(district, box, certificate.not_valid_after_utc, identity.files)
