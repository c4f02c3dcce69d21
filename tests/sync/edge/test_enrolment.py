"""Enrolment and renewal on the box: the key stays here, the first trust is by fingerprint, renewal precedes expiry."""

from __future__ import annotations

import asyncio
import ssl
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from sync.contract.enrolment import CACERTS, Invitation
from sync.edge.identity.box_identity import BoxIdentity, CertificateExpiry
from sync.edge.identity.enrolment import enrol, read_enrolment
from sync.edge.identity.est_client import EstClient, roots_by_fingerprint
from sync.edge.identity.renewal import Renewal, renewal_due, share_from
from sync.errors import (
    AuthorityUntrusted,
    BadMessage,
    EnrolmentPending,
    EnrolmentRefused,
    LinkLost,
    LinkRefused,
    UnsafeLink,
)
from sync.mqtt.reconnect import Retry
from sync.mqtt.tls_files import TlsFiles
from sync.platform.authority.certificates import CaFiles, new_key
from sync.platform.authority.enroller import Rules
from sync.platform.authority.own import write_server_files
from tests.limits import HANG_S
from tests.ports import free_port
from tests.sync.authority import Town, town
from tests.sync.city import a_box, eventually, link_settings, mosquitto, running


@pytest.fixture
def identity(tmp_path: Path) -> BoxIdentity:
    return BoxIdentity(tmp_path / "identity")


def mode(path: Path | None) -> int:
    assert path is not None
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "platform"


async def test_a_box_is_enrolled(home: Path, identity: BoxIdentity) -> None:
    async with town(home) as here:
        made = await enrol(identity, await here.invite())
    assert (made.district, made.box, made.files) == ("demo", "box-1", identity.files)
    assert mode(made.files.key) == 0o600
    assert identity.roots() == [here.authority.root]
    assert identity.next_files() is None


async def test_a_used_invitation_sends_no_request(home: Path, identity: BoxIdentity) -> None:
    async with town(home) as here:
        invitation = await here.invite()
        made = await enrol(identity, invitation)
        again = await here.invite()
    assert await enrol(identity, invitation) == made
    with pytest.raises(LinkLost):
        await enrol(identity, again)


async def test_enrolment_waits_for_the_operator_and_reports_it(home: Path, identity: BoxIdentity) -> None:
    async with town(home) as here:
        invitation = await here.invite(accept=False)
        waits_s: list[float] = []

        async def accept_when_it_waits() -> None:
            async def waits() -> bool:
                return bool(waits_s)

            await eventually(waits)
            await here.registry.accept("box-1")

        async with running(accept_when_it_waits()):
            made = await enrol(identity, invitation, on_waiting=waits_s.append)
        assert (made.box, waits_s) == ("box-1", [1.0])


async def test_waiting_is_limited_and_continues_with_the_same_key(home: Path, identity: BoxIdentity) -> None:
    async with town(home) as here:
        invitation = await here.invite(accept=False)
        with pytest.raises(EnrolmentPending):
            await enrol(identity, invitation, limit_s=0.0)
        await here.registry.accept("box-1")
        assert (await enrol(BoxIdentity(identity.files.key.parents[1]), invitation)).box == "box-1"  # type: ignore[union-attr]


async def test_a_server_with_another_root_never_sees_the_token(home: Path, tmp_path: Path) -> None:
    async with town(home) as here, town(tmp_path / "rogue") as rogue:
        invitation = await here.invite()
        misled = replace(invitation, url=rogue.url)
        with pytest.raises(AuthorityUntrusted, match="指纹"):
            await enrol(BoxIdentity(tmp_path / "identity"), misled)
        assert not (tmp_path / "identity").exists()


async def test_a_server_that_only_copies_the_root_never_sees_the_token(home: Path, tmp_path: Path) -> None:
    """The root is public, so a server that offers it proves nothing; the next connection is verified with it."""
    asked: list[str] = []
    async with town(home) as here:
        invitation = await here.invite()
        stranger = CaFiles.below(tmp_path / "stranger").create("demo")
        files = write_server_files(stranger, tmp_path / "stranger", "est", ["localhost"])
        root = await _raw_cacerts(here)

        async def answer(request: web.Request) -> web.Response:
            asked.append(f"{request.path} {request.headers.get('Authorization')}")
            return web.Response(body=root)

        async with _https(answer, files) as url:
            with pytest.raises(AuthorityUntrusted, match="CA"):
                await enrol(BoxIdentity(tmp_path / "identity"), replace(invitation, url=url))
    assert asked == [f"{CACERTS} None"]


async def test_an_unreachable_authority_raises_link_lost(identity: BoxIdentity) -> None:
    nowhere = Invitation(f"https://localhost:{free_port()}", "SN-1", "A" * 20, "0" * 64)
    with pytest.raises(LinkLost, match="check the network cable") as raised:
        await enrol(identity, nowhere)
    assert " object at " not in str(raised.value)


async def test_a_refusal_leaves_only_the_key(home: Path, identity: BoxIdentity) -> None:
    async with town(home) as here:
        invitation = replace(await here.invite(), token="A" * 20)
        with pytest.raises(EnrolmentRefused, match="token_unknown"):
            await enrol(identity, invitation)
    assert identity.origin() is None
    with pytest.raises(UnsafeLink):
        identity.certificate()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(200, b"!", BadMessage), (200, b"AAAA", BadMessage), (302, b"", BadMessage), (502, b"", LinkLost)],
)
async def test_servers_other_than_an_authority(
    tmp_path: Path, status: int, body: bytes, error: type[Exception]
) -> None:
    stranger = CaFiles.below(tmp_path / "stranger").create("demo")
    files = write_server_files(stranger, tmp_path / "stranger", "est", ["localhost"])

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    async with _https(answer, files) as url:
        with pytest.raises(error):
            await EstClient(url, [stranger.root]).enrol("SN-1", "A" * 20, b"")
        with pytest.raises(error):
            await roots_by_fingerprint(url, "0" * 64)


async def test_a_certificate_for_another_key_or_root_is_not_stored(tmp_path: Path, identity: BoxIdentity) -> None:
    mine, other = (CaFiles.below(tmp_path / name).create("demo") for name in ("mine", "other"))
    identity.request("SN-1")
    with pytest.raises(UnsafeLink, match="another key"):
        identity.save_next([mine.box("box-1", new_key().public_key())], [mine.root])
    key = x509.load_der_x509_csr(identity.request("SN-1")).public_key()
    certificate = mine.box("box-1", key)  # type: ignore[arg-type]
    for chain, root in (([certificate, mine.issuing], other.root), ([certificate, other.issuing], other.root)):
        with pytest.raises(UnsafeLink, match="not signed by a trusted root"):
            identity.save_next(chain, [root])
    assert identity.next_files() is None


INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(INSTANTS, st.timedeltas(timedelta(hours=1), timedelta(days=3650)), st.floats(0, 1, exclude_max=True))
def test_renewal_is_due_between_two_thirds_and_three_quarters(begins: datetime, life: timedelta, share: float) -> None:
    due = renewal_due(begins, begins + life, share)
    slack = timedelta(microseconds=2)
    assert life * (2 / 3) - slack <= due - begins <= life * (3 / 4) + slack
    assert renewal_due(begins, begins + life, share / 2) <= due


def test_renewals_of_a_fleet_are_spread(tmp_path: Path) -> None:
    authority, key = CaFiles.below(tmp_path / "ca").create("demo"), new_key().public_key()
    shares = sorted(share_from(authority.box(f"box-{number}", key)) for number in range(200))
    assert shares[10] < 0.2 and shares[-10] > 0.8


# Renewal, with an authority and a broker that requires certificates.


def secured(here: Town, folder: Path, *, trusted: Path | None = None) -> str:
    files = write_server_files(here.authority, folder, "broker", ["localhost"])
    return (
        f"cafile {trusted or files.ca}\ncertfile {files.certificate}\nkeyfile {files.key}\n"
        "require_certificate true\nuse_identity_as_username true\nuse_username_as_clientid true\n"
    )


async def test_renewal_tests_the_new_certificate_before_use(home: Path, identity: BoxIdentity, tmp_path: Path) -> None:
    async with town(home) as here:
        await enrol(identity, await here.invite())
        first = identity.certificate()
        with mosquitto(tmp_path / "broker", extra=secured(here, tmp_path / "tls")) as broker:
            url = broker.url.replace("mqtt://127.0.0.1", "mqtts://localhost")
            settings = link_settings(url, tls=identity.files)
            async with a_box(tmp_path / "box", settings) as box:
                await eventually(lambda: _is(box.link.status().connected))
                before = box.link.status()
                renewal = Renewal(identity, url)
                assert renewal.due_in() > timedelta(days=200)
                await renewal.renew()
                second = identity.certificate()
                assert second.serial_number != first.serial_number
                assert second.public_key() != first.public_key()
                after = box.link.status()  # the trial did not touch the live connection
                assert (after.since_s, after.reconnects) == (before.since_s, before.reconnects)
                # The next connection must use the new files, because the broker now rejects the old ones.
                revoked = tmp_path / "revoked.pem"
                revoked.write_bytes(here.authority.revocations([(first.serial_number, here.clock())]))
                broker.stop()
                broker._extra += f"crlfile {revoked}\n"
                broker.start()
                await eventually(lambda: _is(box.link.status().reconnects > 0 and box.link.status().connected))
    assert mode(identity.files.key) == 0o600
    assert len(list((tmp_path / "identity").glob("generation-*"))) == 1


async def test_a_certificate_that_the_broker_refuses_is_never_used(
    home: Path, identity: BoxIdentity, tmp_path: Path
) -> None:
    async with town(home) as here:
        await enrol(identity, await here.invite())
        first = identity.certificate()
        CaFiles.below(tmp_path / "other").create("demo")
        extra = secured(here, tmp_path / "tls", trusted=tmp_path / "other" / "root.pem")
        with mosquitto(tmp_path / "broker", extra=extra) as broker:
            renewal = Renewal(identity, broker.url.replace("mqtt://127.0.0.1", "mqtts://localhost"))
            with pytest.raises(LinkRefused, match="UNKNOWN_CA"):
                await renewal.renew()
    assert identity.certificate() == first
    assert identity.next_files() is None


async def test_an_untested_certificate_is_tested_again(home: Path, identity: BoxIdentity, tmp_path: Path) -> None:
    async with town(home) as here:
        await enrol(identity, await here.invite())
        first = identity.certificate()
        with pytest.raises(LinkLost):
            await Renewal(identity, f"mqtts://localhost:{free_port()}").renew()
        assert identity.certificate() == first
        offered = identity.next_files()
        assert offered is not None
    # The authority is stopped; testing the stored certificate needs only the broker.
    with mosquitto(tmp_path / "broker", extra=secured(here, tmp_path / "tls")) as broker:
        await Renewal(identity, broker.url.replace("mqtt://127.0.0.1", "mqtts://localhost")).renew()
    assert identity.certificate() != first


async def test_a_box_with_an_expired_certificate_waits_for_approval(
    home: Path, identity: BoxIdentity, tmp_path: Path
) -> None:
    async with town(home, Rules(days=30, grace=timedelta(days=365))) as here:
        here.clock.ahead = -timedelta(days=60)
        await enrol(identity, await here.invite())
        here.clock.ahead = timedelta(0)
        assert (CertificateExpiry(identity.files.certificate).days() or 0) < -29
        with mosquitto(tmp_path / "broker", extra=secured(here, tmp_path / "tls")) as broker:
            url = broker.url.replace("mqtt://127.0.0.1", "mqtts://localhost")
            with pytest.raises(EnrolmentPending):
                await Renewal(identity, url).renew()
            renewal = Renewal(identity, url, retry=Retry(cap_s=0.05))
            async with running(renewal.run()):  # it asks again and again, and nobody touches the box
                await here.registry.accept("box-1")
                await eventually(lambda: _is((CertificateExpiry(identity.files.certificate).days() or 0) > 29))


async def test_a_box_that_was_never_enrolled_renews_nothing(identity: BoxIdentity) -> None:
    async with asyncio.timeout(HANG_S):
        await Renewal(identity, "mqtts://localhost").run()
    assert identity.origin() is None
    assert not identity.files.certificate.exists()


async def test_a_power_cut_between_the_steps_loses_nothing(home: Path, tmp_path: Path) -> None:
    """After each step a new process finds a certificate in use, or continues with the same key."""
    folder = tmp_path / "identity"
    async with town(home) as here:
        request = BoxIdentity(folder).request("SN-1")
        invitation = await here.invite()
        granted = await EstClient(here.url, [here.authority.root]).enrol("SN-1", invitation.token, request)
        BoxIdentity(folder).save_next(granted, [here.authority.root])
        assert (await enrol(BoxIdentity(folder), invitation)).until == granted[0].not_valid_after_utc
        assert read_enrolment(BoxIdentity(folder)).box == "box-1"


def test_days_until_expiry_follow_the_file(tmp_path: Path) -> None:
    authority, path = CaFiles.below(tmp_path / "ca").create("demo"), tmp_path / "box.pem"
    expiry = CertificateExpiry(path)
    assert expiry.days() is None
    assert CertificateExpiry(None).days() is None
    for days in (10, 20):
        path.write_bytes(authority.box("box-1", new_key().public_key(), days).public_bytes(Encoding.PEM))
        assert days - 0.1 < (expiry.days() or 0) <= days
    path.write_text("no certificate")
    assert expiry.days() is None


async def _is(state: bool) -> bool:
    return state


async def _raw_cacerts(here: Town) -> bytes:
    context = EstClient(here.url, [here.authority.root])._context
    async with ClientSession() as session, session.get(f"{here.url}{CACERTS}", ssl=context) as answer:
        return await answer.read()


@asynccontextmanager
async def _https(answer: Callable[[web.Request], Awaitable[web.Response]], files: TlsFiles) -> AsyncIterator[str]:
    """An unrelated server that gives the same answer to every request."""
    assert files.certificate is not None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    server = web.Application()
    server.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(server)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"https://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
