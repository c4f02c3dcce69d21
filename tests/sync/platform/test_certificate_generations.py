"""A box has one valid certificate: renewal replaces the earlier one, and nothing that was replaced is issued again."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import ClientSession
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sync.contract.enrolment import RejectionReason, to_basic
from sync.edge.identity.box_identity import BoxIdentity
from sync.edge.identity.enrolment import enrol as enrol_box
from sync.edge.identity.est_client import EstClient
from sync.edge.identity.renewal import Renewal
from sync.errors import EnrolmentPending, EnrolmentRefused
from sync.platform.authority.certificates import new_key
from sync.platform.authority.enroller import Enroller, RenewedTooOften, Rules, read_request
from sync.platform.authority.registry import RegistryTransaction
from tests.sync.authority import Town, town
from tests.sync.platform.test_authority import enrol, refused, request_of

MANY = Rules(per_day=1000)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path) as started:
        yield started


async def valid(here: Town) -> int:
    """How many certificates of box-1 are not revoked."""

    def count(transaction: RegistryTransaction) -> int:
        query = "SELECT count(*) FROM certificate WHERE box = 'box-1' AND revoked_ms IS NULL"
        return int(transaction._db.conn.execute(query).fetchone()[0])

    return await here.registry.change(count)


def listed(here: Town, certificate: x509.Certificate) -> bool:
    """Whether the list that brokers read names `certificate`."""
    revoked = x509.load_pem_x509_crl(here.files.revoked.read_bytes())
    return revoked.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None


@pytest.mark.parametrize("step", ["the newest", "the first", "by turns"])
async def test_renewals_in_a_row_leave_one_valid_certificate(here: Town, step: str) -> None:
    """`step`: which certificate each renewal presents."""
    enroller = Enroller(here.authority, here.registry, MANY)
    shown = newest = await enrol(here, await here.invite(), request_of("SN-1"))
    for number in range(123):
        newest = (await enroller.renew(shown, request_of("box-1")))[0]
        assert await valid(here) <= 2
        if step == "the newest" or (step == "by turns" and number % 2):
            shown = newest
    await enroller.confirm(newest)
    assert await valid(here) == 1


async def test_the_earlier_certificate_is_revoked_when_the_new_one_was_used(here: Town, tmp_path: Path) -> None:
    identity = BoxIdentity(tmp_path / "identity")
    await enrol_box(identity, await here.invite())
    first = identity.certificate()
    authority = EstClient(here.url, identity.roots(), identity.files)
    identity.save_next(await authority.renew(identity.request("box-1")), identity.roots())
    assert await valid(here) == 2  # it may not have arrived
    identity.activate_next()
    await Renewal(identity, "mqtts://localhost").confirm()
    assert await valid(here) == 1
    assert listed(here, first) and not listed(here, identity.certificate())
    with pytest.raises(EnrolmentRefused, match="revoked"):
        await Enroller(here.authority, here.registry, MANY).renew(first, request_of("box-1"))


async def test_only_the_newest_valid_certificate_replaces_others(here: Town, tmp_path: Path) -> None:
    enroller = Enroller(here.authority, here.registry, MANY)
    first = await enrol(here, await here.invite(), request_of("SN-1"))
    second = (await enroller.renew(first, request_of("box-1")))[0]
    stranger = here.authority.box("box-1", new_key().public_key())  # signed, and not in the register
    for presented in (first, stranger):
        await enroller.confirm(presented)
        assert await valid(here) == 2
    here.clock.ahead = timedelta(days=400)
    await enroller.confirm(second)
    assert await valid(here) == 2


async def test_a_revoked_certificate_renews_nothing_even_of_a_box_that_is_invited_again(here: Town) -> None:
    enroller = Enroller(here.authority, here.registry, MANY)
    old = await enrol(here, await here.invite(), request_of("SN-1"))
    await here.registry.revoke("box-1")
    invitation = await here.invite()
    for _ in ("invited", "enrolled again"):
        with pytest.raises(EnrolmentRefused, match="revoked"):
            await enroller.renew(old, request_of("box-1"))
        await enrol(here, invitation, request_of("SN-1", KEY))


KEY = new_key()


@pytest.mark.parametrize("rules", [Rules(), Rules(accept=("SN-",))])
async def test_a_key_gets_no_certificate_that_is_over(tmp_path: Path, rules: Rules) -> None:
    async with town(tmp_path, rules) as here:
        enroller = Enroller(here.authority, here.registry, Rules(per_day=1000))
        invitation, request = await here.invite(), request_of("SN-1", KEY)
        first = await enrol(here, invitation, request)
        await here.registry.revoke("box-1")
        invitation = await here.invite()
        second = await enrol(here, invitation, request)  # a new decision of an operator
        assert second.serial_number != first.serial_number
        assert await enrol(here, invitation, request) == second
        third = (await enroller.renew(second, request_of("box-1")))[0]
        assert await refused(here, invitation, request) == RejectionReason.TOKEN_EXPIRED  # replaced
        with pytest.raises(EnrolmentRefused, match="same_key"):
            await enroller.renew(third, request_of("box-1", KEY))
        invitation = await here.invite()
        await enrol(here, invitation, request)
        here.clock.ahead = timedelta(days=366)
        assert await refused(here, invitation, request) == RejectionReason.TOKEN_EXPIRED  # expired


async def test_a_renewal_whose_certificate_has_expired_meanwhile_gets_another(here: Town) -> None:
    enroller = Enroller(here.authority, here.registry, Rules(days=30))
    shown, request = await enrol(here, await here.invite(), request_of("SN-1")), request_of("box-1")
    await enroller.renew(shown, request)
    here.clock.ahead = timedelta(days=31)
    with pytest.raises(EnrolmentRefused, match="same_key"):
        await enroller.renew(shown, request)


async def test_renewals_are_limited_to_a_rate(here: Town, tmp_path: Path) -> None:
    identity = BoxIdentity(tmp_path / "identity")
    await enrol_box(identity, await here.invite())
    authority = EstClient(here.url, identity.roots(), identity.files)
    for _ in range(Rules().per_day - 1):
        await authority.renew(request_of("box-1"))
    with pytest.raises(EnrolmentPending, match="Too many requests") as caught:
        await authority.renew(request_of("box-1"))
    assert caught.value.retry_after_s == 3600  # the most that a box waits
    enroller, shown = Enroller(here.authority, here.registry), identity.certificate()
    for _ in range(20):
        with pytest.raises(RenewedTooOften):
            await enroller.renew(shown, request_of("box-1"))
    other = await enrol(here, await here.invite("SN-2", "box-2"), request_of("SN-2"))
    await enroller.renew(other, request_of("box-2"))
    here.clock.ahead = timedelta(hours=24, minutes=1)
    await enroller.renew(shown, request_of("box-1"))


def patched(old: str, new: str) -> bytes:
    """A request in which the bytes `old` (hex) are replaced by `new` of the same length."""
    request = request_of("SN-1", KEY)
    assert request.count(bytes.fromhex(old)) >= 1
    return request.replace(bytes.fromhex(old), bytes.fromhex(new))


def edwards() -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SN-1")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return request.sign(ed25519.Ed25519PrivateKey.generate(), None).public_bytes(Encoding.DER)


MALFORMED = {
    "an unknown key algorithm": patched("2a8648ce3d0201", "2a8648ce3d0299"),
    "an unknown curve": patched("2a8648ce3d030107", "2a8648ce3d030199"),
    "a curve that nobody supports": patched("2a8648ce3d030107", "2a811ccf55018301"),
    "an unknown signature": patched("2a8648ce3d040302", "2a8648ce3d0403ff"),
    "another signature": patched("2a8648ce3d040302", "2a8648ce3d040303"),
    "a point beside the curve": patched("034200" + "04", "034200" + "05"),
    "another kind of key": edwards(),
    "a short curve": request_of("SN-1", ec.generate_private_key(ec.SECP224R1())),
    "a name in an unknown encoding": patched("0c04534e2d31", "1e04534e2d31"),
    "a name that is no text": patched("0c04534e2d31", "0c04ff4e2d31"),
    "a certificate": b"\x30\x03\x02\x01\x00",
    "half of one": request_of("SN-1")[:60],
    "two": request_of("SN-1") * 2,
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_a_malformed_request_is_a_clear_400(here: Town, what: str, caplog: pytest.LogCaptureFixture) -> None:
    invitation = await here.invite()
    for path in ("simpleenroll", "simplereenroll"):
        context = EstClient(here.url, [here.authority.root])._context
        headers = {"Authorization": to_basic("SN-1", invitation.token)}
        url = f"{here.url}/.well-known/est/{path}"
        async with ClientSession() as session:
            body = base64.encodebytes(MALFORMED[what])
            async with session.post(url, ssl=context, data=body, headers=headers) as answer:
                assert (answer.status, answer.headers["Sentinel-Reason"]) == (400, RejectionReason.BAD_REQUEST), what
                assert "update the software" in await answer.text()
    assert [each for each in caplog.records if each.levelno >= logging.ERROR or each.exc_info] == []


def test_a_changed_byte_of_a_request_is_refused_or_changes_nothing() -> None:
    request = request_of("SN-1", KEY)
    for at in range(len(request)):
        for other in {0, 0xFF, request[at] ^ 1, request[at] ^ 0x80} - {request[at]}:
            try:
                name, key = read_request(request[:at] + bytes([other]) + request[at + 1 :])
            except EnrolmentRefused:
                continue
            assert (name, key.public_numbers()) == ("SN-1", KEY.public_key().public_numbers()), at


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Encoding": "gzip"}, b"no gzip"),
        ({"Content-Encoding": "deflate"}, b"\xff\xff\xff"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x\r\n"),
        ({"Content-Type": "text/plain; charset=nonsense"}, b"AAAA"),
        ({"Authorization": "Basic \u20ac"}, b"AAAA"),
        ({"Authorization": "Basic " + "A" * 6000}, b"AAAA"),
        ({"Expect": "nothing"}, b"AAAA"),
    ],
)
async def test_no_request_of_a_stranger_is_a_server_error(here: Town, headers: dict[str, str], body: bytes) -> None:
    context = EstClient(here.url, [here.authority.root])._context
    shown = {"Authorization": to_basic("SN-1", (await here.invite()).token)}
    async with ClientSession() as session:
        for path in ("simpleenroll", "simplereenroll"):
            url = f"{here.url}/.well-known/est/{path}"
            async with session.post(url, ssl=context, data=body, headers=shown | headers) as answer:
                assert 400 <= answer.status < 500
