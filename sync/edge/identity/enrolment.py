"""Enrols a new box in a district: exchanges a token for a certificate."""

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
from sync.edge.identity.box_identity import BoxIdentity, EnrolmentOrigin
from sync.edge.identity.est_client import EstClient, roots_by_fingerprint
from sync.errors import EnrolmentPending, UnsafeLink
from sync.mqtt.tls_files import TlsFiles


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The district and name that the authority assigned to the box, and the files for the broker."""

    district: str
    box: str
    until: datetime  # end of validity
    files: TlsFiles


async def enrol(
    identity: BoxIdentity,
    invitation: Invitation,
    *,
    limit_s: float = 900.0,
    on_waiting: Callable[[float], None] = lambda _: None,
) -> Enrolled:
    """Enrol this box with `invitation` and store the result in `identity`; does nothing if it was used before.

    While an operator must approve the box, `on_waiting` is called with the seconds until the next request; after
    `limit_s` EnrolmentPending is raised, and a later call continues with the same key. Also raises LinkLost (retry
    later), AuthorityUntrusted (do not continue), EnrolmentRefused (its reason says what must change), BadMessage,
    UnsafeLink, OSError.
    """
    digest = hashlib.sha256(invitation.token.encode()).hexdigest()
    origin = EnrolmentOrigin(invitation.url, invitation.serial, digest)
    if identity.origin() == origin and identity.next_files() is None:
        return read_enrolment(identity)
    roots = await roots_by_fingerprint(invitation.url, invitation.ca_sha256)
    authority = EstClient(invitation.url, roots)
    request = identity.request(invitation.serial)
    ends_s = time.monotonic() + limit_s
    while True:
        try:
            certificates = await authority.enrol(invitation.serial, invitation.token, request)
            break
        except EnrolmentPending as exc:
            if time.monotonic() + exc.retry_after_s > ends_s:
                raise
            on_waiting(exc.retry_after_s)
            await asyncio.sleep(exc.retry_after_s)
    identity.save_next(certificates, roots)
    identity.save_origin(origin)
    identity.activate_next()
    return read_enrolment(identity)


def read_enrolment(identity: BoxIdentity) -> Enrolled:
    """District, name and validity from the certificate in use. Raises UnsafeLink without a usable certificate."""
    certificate = identity.certificate()
    try:
        district, box = (
            check_name(str(certificate.subject.get_attributes_for_oid(oid)[0].value))
            for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
        )
    except (IndexError, ValueError) as exc:
        raise UnsafeLink("the certificate contains no valid district and box name; enrol this box again") from exc
    return Enrolled(district, box, certificate.not_valid_after_utc, identity.files)
