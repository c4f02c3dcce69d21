"""The authority over HTTPS: which requests it grants, defers and refuses, and the reasons."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import zxingcpp
from aiohttp import ClientSession
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from typer.testing import CliRunner

from sync.contract.enrolment import REMEDIES, Invitation, RejectionReason, from_basic, read_token, to_basic
from sync.edge.identity.est_client import EstClient, roots_by_fingerprint
from sync.errors import EnrolmentPending, EnrolmentRefused, LinkLost
from sync.platform.authority.certificates import CaFiles, common_name, new_key, organisation
from sync.platform.authority.enroller import Enroller, Rules
from sync.platform.authority.limit import RateLimit
from sync.platform.authority.registry import BoxStatus, Registry
from sync.platform.authority.sheet import render_sheet
from sync.platform.commands.cli import app
from sync.platform.http_server.client_network import client_network
from tests.sync.authority import Town, town
from tests.sync.city import WHEN


def request_of(name: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key or new_key(), hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path) as started:
        yield started


async def enrol(here: Town, invitation: Invitation, request: bytes) -> x509.Certificate:
    answer = await EstClient(invitation.url, [here.authority.root]).enrol(invitation.serial, invitation.token, request)
    return answer[0]


async def refused(here: Town, invitation: Invitation, request: bytes) -> str:
    with pytest.raises(EnrolmentRefused) as caught:
        await enrol(here, invitation, request)
    assert REMEDIES[RejectionReason(caught.value.reason)] in str(caught.value)
    return caught.value.reason


async def test_the_certificate_names_box_and_district_and_is_for_clients(here: Town) -> None:
    certificate = await enrol(here, await here.invite(), request_of("SN-1"))
    assert (common_name(certificate.subject), organisation(certificate)) == ("box-1", "demo")
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=365, hours=1)


async def test_a_token_is_bound_to_one_key(here: Town) -> None:
    invitation, first = await here.invite(), request_of("SN-1")
    certificate = await enrol(here, invitation, first)
    assert await refused(here, invitation, request_of("SN-1")) == RejectionReason.TOKEN_USED
    # The box whose answer was lost sends the same request again and gets the same certificate.
    assert await enrol(here, invitation, first) == certificate


async def test_a_token_is_for_one_serial_for_a_day(here: Town) -> None:
    other = await here.invite("SN-2", "box-2")
    mine = await here.invite("SN-1", "box-1")
    swapped = Invitation(mine.url, "SN-1", other.token, mine.ca_sha256)
    assert await refused(here, swapped, request_of("SN-1")) == RejectionReason.TOKEN_OTHER_SERIAL
    guessed = Invitation(mine.url, "SN-1", "A" * 20, mine.ca_sha256)
    assert await refused(here, guessed, request_of("SN-1")) == RejectionReason.TOKEN_UNKNOWN
    assert await refused(here, mine, request_of("SN-2")) == RejectionReason.OTHER_NAME
    here.clock.ahead = timedelta(hours=24, seconds=1)
    assert await refused(here, mine, request_of("SN-1")) == RejectionReason.TOKEN_EXPIRED


async def test_a_new_token_voids_the_one_before(here: Town) -> None:
    first, second = await here.invite(), await here.invite()
    assert await refused(here, first, request_of("SN-1")) == RejectionReason.TOKEN_UNKNOWN
    await enrol(here, second, request_of("SN-1"))


@pytest.mark.parametrize("lasts", [timedelta(0), timedelta(hours=24, seconds=1)])
async def test_a_token_is_valid_for_at_most_one_day(here: Town, lasts: timedelta) -> None:
    with pytest.raises(ValueError, match="24 hours"):
        await here.registry.invite("SN-1", "box-1", lasts=lasts)


async def test_the_registry_stores_only_hashes_of_tokens(here: Town) -> None:
    invitation = await here.invite()
    for path in here.home.glob("boxes.db*"):
        assert invitation.token.encode() not in path.read_bytes()
    assert invitation.token not in repr(invitation)


@pytest.mark.parametrize("name", ["platform", "Box", "a/b", "+", "#", ""])
async def test_names_with_access_to_other_topics_are_rejected(here: Town, name: str) -> None:
    with pytest.raises(ValueError, match=r"platform|must match"):
        await here.registry.invite("SN-1", name)
    with pytest.raises(ValueError, match=r"platform|must match"):
        here.authority.box(name, new_key().public_key())


async def test_two_boxes_never_share_a_name_or_a_serial(here: Town) -> None:
    await here.invite("SN-1", "box-1")
    for serial, name in (("SN-2", "box-1"), ("SN-1", "box-2")):
        with pytest.raises(ValueError, match="already"):
            await here.registry.invite(serial, name)


async def test_a_new_box_waits_until_an_operator_accepts_it(here: Town) -> None:
    invitation, request = await here.invite(accept=False), request_of("SN-1")
    with pytest.raises(EnrolmentPending) as waits:
        await enrol(here, invitation, request)
    assert waits.value.retry_after_s == 1
    here.clock.ahead = timedelta(days=3)  # the token's day is over; the box came in time and its key is known
    await here.registry.accept("box-1")
    assert common_name((await enrol(here, invitation, request)).subject) == "box-1"


async def test_an_operator_accepts_the_pending_key_only(here: Town) -> None:
    invitation = await here.invite(accept=False)
    with pytest.raises(EnrolmentPending):
        await enrol(here, invitation, request_of("SN-1"))
    await here.registry.accept("box-1")
    assert await refused(here, invitation, request_of("SN-1")) == RejectionReason.TOKEN_USED


async def test_only_a_pending_box_can_be_accepted(here: Town) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        await here.registry.accept("box-1")
    await here.invite()
    with pytest.raises(ValueError, match="invited"):
        await here.registry.accept("box-1")


async def test_a_rule_accepts_by_the_beginning_of_the_serial(tmp_path: Path) -> None:
    async with town(tmp_path, Rules(accept=("SN-",))) as here:
        await enrol(here, await here.invite("SN-1", "box-1", accept=False), request_of("SN-1"))
        with pytest.raises(EnrolmentPending):
            await enrol(here, await here.invite("XN-1", "box-2", accept=False), request_of("XN-1"))


async def test_a_revoked_box_gets_nothing_until_it_is_invited_again(here: Town) -> None:
    invitation, request = await here.invite(), request_of("SN-1")
    certificate = await enrol(here, invitation, request)
    revoked, _ = await here.registry.revoke("box-1")
    assert [number for number, _ in revoked] == [certificate.serial_number]
    assert await refused(here, invitation, request) == RejectionReason.REVOKED
    await enrol(here, await here.invite(), request_of("SN-1"))


async def test_the_revocation_list_is_signed_and_does_not_expire(here: Town) -> None:
    certificate = await enrol(here, await here.invite(), request_of("SN-1"))
    revoked, _ = await here.registry.revoke("box-1")
    listed = x509.load_pem_x509_crl(here.authority.revocations(revoked))
    assert listed.is_signature_valid(here.authority.issuing.public_key())  # type: ignore[arg-type]
    assert listed.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
    assert listed.next_update_utc == here.authority.issuing.not_valid_after_utc


SIGNED = request_of("SN-1")


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"no request",
        request_of("SN-1", rsa.generate_private_key(65537, 2048)),
        SIGNED[:-1] + bytes([SIGNED[-1] ^ 1]),
    ],
)
async def test_a_request_without_proof_of_possession_is_refused(here: Town, request_: bytes) -> None:
    assert await refused(here, await here.invite(), request_) == RejectionReason.BAD_REQUEST


async def test_responses_conform_to_rfc_7030(here: Town) -> None:
    invitation = await here.invite(accept=False)
    secret = {"Authorization": to_basic("SN-1", invitation.token)}
    context = EstClient(here.url, [here.authority.root])._context
    async with ClientSession() as session:
        for path in ("serverkeygen", "fullcmc", "csrattrs", ""):
            async with session.post(f"{here.url}/.well-known/est/{path}", ssl=context) as answer:
                assert answer.status == 404
        enrolling = f"{here.url}/.well-known/est/simpleenroll"
        async with session.post(enrolling, ssl=context, data=b"!") as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic")
        body = base64.encodebytes(request_of("SN-1"))
        async with session.post(enrolling, ssl=context, data=body, headers=secret) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (202, "1")
        async with session.post(enrolling, ssl=context, data=b"A" * 20_000, headers=secret) as answer:
            assert answer.status == 413
        async with session.get(f"{here.url}/.well-known/est/cacerts", ssl=context) as answer:
            assert answer.headers["Content-Type"] == "application/pkcs7-mime; smime-type=certs-only"
            assert answer.headers["Content-Transfer-Encoding"] == "base64"


async def asked(here: Town, session: ClientSession, serial: str) -> tuple[int, str, int]:
    """What a stranger with a guessed token hears: status, reason, Retry-After."""
    shown = {"Authorization": to_basic(serial, "A" * 20)}
    context = EstClient(here.url, [here.authority.root])._context
    body = base64.encodebytes(request_of(serial))
    enrolling = f"{here.url}/.well-known/est/simpleenroll"
    async with session.post(enrolling, ssl=context, data=body, headers=shown) as answer:
        return answer.status, answer.headers["Sentinel-Reason"], int(answer.headers.get("Retry-After", 0))


async def test_guessing_is_rate_limited(tmp_path: Path) -> None:
    async with town(tmp_path, retry_after_s=3600, now_s=lambda: 0.0) as here, ClientSession() as session:
        for _ in range(20):
            assert (await asked(here, session, "SN-1"))[:2] == (401, RejectionReason.TOKEN_UNKNOWN)
        status, reason, wait_s = await asked(here, session, "SN-1")
        assert (status, reason) == (429, RejectionReason.TOO_MANY)
        assert 0 < wait_s <= 600
        invitation = await here.invite()
        with pytest.raises(EnrolmentPending, match="Too many requests") as caught:  # it waits, and is not lost
            await enrol(here, invitation, request_of("SN-1"))
        assert 0 < caught.value.retry_after_s <= 600
        for number in range(98):
            assert (await asked(here, session, f"OTHER-{number}"))[0] == 401
        assert await asked(here, session, "OTHER-99") == (429, RejectionReason.TOO_MANY, 60)
        with pytest.raises(LinkLost, match="429"):
            await roots_by_fingerprint(here.url, here.authority.sha256)


def test_a_burst_then_one_at_a_time() -> None:
    now_s = 0.0
    limit = RateLimit(3, 10.0, most=2, now=lambda: now_s)
    assert [limit.wait_s("a") for _ in range(5)] == [0.0, 0.0, 0.0, 10.0, 10.0]
    assert limit.wait_s("b") == 0.0
    now_s = 9.0
    assert limit.wait_s("a") == 1.0
    now_s = 10.0
    assert [limit.wait_s("a") for _ in range(2)] == [0.0, 10.0]
    limit.wait_s("c")
    assert len(limit) == 2
    assert limit.wait_s("a") == 10.0  # b was heard longest ago and made room
    now_s = 1000.0
    assert [limit.wait_s("a") for _ in range(4)] == [0.0, 0.0, 0.0, 10.0]


@pytest.mark.parametrize(
    ("address", "one"),
    [("192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), ("fe80::1%eth0", "fe80::/64"), (None, "")],
)
def test_what_counts_as_one_address(address: str | None, one: str) -> None:
    assert client_network(address) == one


async def test_renewal_without_a_certificate_is_refused(here: Town) -> None:
    with pytest.raises(EnrolmentRefused) as caught:
        await EstClient(here.url, [here.authority.root]).renew(request_of("box-1"))
    assert caught.value.reason == RejectionReason.NO_CERTIFICATE


async def test_which_certificates_can_be_renewed(tmp_path: Path) -> None:
    async with town(tmp_path, Rules(days=90, grace=timedelta(days=100))) as here:
        enroller = Enroller(here.authority, here.registry, Rules(days=90, grace=timedelta(days=100)))
        key = new_key()
        shown = await enrol(here, await here.invite(), request_of("SN-1", key))

        async def reason(request: bytes, certificate: x509.Certificate = shown) -> str:
            with pytest.raises(EnrolmentRefused) as caught:
                await enroller.renew(certificate, request)
            return caught.value.reason

        stranger = CaFiles.below(tmp_path / "stranger").create("demo").box("box-1", key.public_key())
        assert await reason(request_of("box-1"), stranger) == RejectionReason.NO_CERTIFICATE
        assert await reason(request_of("box-2")) == RejectionReason.OTHER_NAME
        assert await reason(request_of("box-1", key)) == RejectionReason.SAME_KEY
        here.clock.ahead = timedelta(days=60)
        request = request_of("box-1")
        renewed = (await enroller.renew(shown, request))[0]
        assert renewed.not_valid_after_utc > shown.not_valid_after_utc
        assert (await enroller.renew(shown, request))[0] == renewed  # the answer was lost
        here.clock.ahead = timedelta(days=60 + 90 + 99)
        later = request_of("box-1")
        with pytest.raises(EnrolmentPending):  # expired, but still known: an operator looks at it
            await enroller.renew(renewed, later)
        await here.registry.accept("box-1")
        last = (await enroller.renew(renewed, later))[0]
        assert await reason(request_of("box-1"), shown) == RejectionReason.CERTIFICATE_TOO_OLD
        await here.registry.revoke("box-1")
        assert await reason(request_of("box-1"), last) == RejectionReason.REVOKED


def test_keys_are_for_their_owner_alone_and_never_replaced(tmp_path: Path) -> None:
    files = CaFiles.below(tmp_path / "ca")
    files.create("demo")
    for path in (files.root_key, files.issuing_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        files.create("demo")
    files.root_key.unlink()  # it is in a safe
    assert files.load().district == "demo"


def test_the_code_of_the_sheet_contains_its_text() -> None:
    token = "ABCD2345" * 2 + "WXYZ"
    invitation = Invitation("https://ca.example:8443", "SN-1", token, "ab" * 32)
    page = render_sheet(invitation, "box-1", WHEN)
    for text in ("ABCD-2345-ABCD-2345-WXYZ", "SN-1", "https://ca.example:8443", "ab" * 32, "box-1"):
        assert text in page
    code = zxingcpp.create_barcode(str(invitation), zxingcpp.BarcodeFormat.QRCode, ec_level="M")
    assert str(code.to_svg(scale=4, add_quiet_zones=True)).count("<path") == page.count("<path")
    [seen] = zxingcpp.read_barcodes(code.to_image(scale=4))
    assert Invitation.parse(seen.text) == invitation
    assert read_token(" abcd-2345-ABCD 2345-wxyz ") == token


@pytest.mark.parametrize("header", ["", "Basic", "Basic !", "Bearer YTpi", "Basic YQ==", "Basic /w==", "Basic YTpi"])
def test_other_headers_contain_no_token(header: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        from_basic(header)
    assert from_basic(to_basic("SN-1", "A" * 20)) == ("SN-1", "A" * 20)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://ca.example/?serial=a&token=b&ca=c",
        "sentinel://ca.example/?serial=a",
        f"sentinel://ca.example/?serial=a&token={'A' * 19}&ca={'0' * 64}",
        f"sentinel://ca.example/?serial=a b&token={'A' * 20}&ca={'0' * 64}",
        f"sentinel:///?serial=a&token={'A' * 20}&ca={'0' * 64}",
        f"sentinel://[::1:8443/?serial=a&token={'A' * 20}&ca={'0' * 64}",
        f"sentinel://ca.example：8443/?serial=a&token={'A' * 20}&ca={'0' * 64}",
        f"sentinel://ca.example:0/?serial=a&token={'A' * 20}&ca={'0' * 64}",
        f"sentinel://box:word@ca.example/?serial=a&token={'A' * 20}&ca={'0' * 64}",
    ],
)
def test_other_codes_are_not_invitations(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Invitation.parse(text)


def edge_platform(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_commands_of_an_operator(tmp_path: Path) -> None:
    data = ["--data", str(tmp_path)]
    edge_platform("ca", "init", "--url", "https://localhost:8443", *data)
    authority, page = CaFiles.below(tmp_path / "ca").load(), tmp_path / "sheet.html"
    inviting = ["SN-1", "--name", "box-1", "--sheet", str(page), "--json"]
    said = json.loads(edge_platform("boxes", "token", *inviting, *data))
    assert Invitation.parse(said["code"]).ca_sha256 == authority.sha256
    assert stat.S_IMODE(page.stat().st_mode) == 0o600

    nowhere = CliRunner().invoke(app, ["boxes", "token", "SN-2", "--name", "box-2", "--sheet", "/proc/x", *data])
    assert (nowhere.exit_code, "token: " in nowhere.stdout) == (1, True)

    async def come() -> None:
        async with Registry.opened(tmp_path / "boxes.db") as registry:
            await Enroller(authority, registry).enrol("SN-1", said["token"], request_of("SN-1"))

    with pytest.raises(EnrolmentPending):
        asyncio.run(come())
    assert json.loads(edge_platform("boxes", "list", *data, "--json"))[0]["status"] == BoxStatus.PENDING
    assert json.loads(edge_platform("boxes", "accept", "box-1", *data, "--json"))["status"] == BoxStatus.ACCEPTED
    edge_platform("ca", "issue", "platform", "--out", str(tmp_path / "out"), *data)
    edge_platform("ca", "issue", "broker", "--host", "localhost", "--out", str(tmp_path / "out"), *data)
    issued = x509.load_pem_x509_certificate((tmp_path / "out" / "platform.pem").read_bytes())
    assert common_name(issued.subject) == "platform"
