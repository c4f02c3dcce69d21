"""The generated configuration in a real mosquitto: which clients can connect, and what a box can publish and read."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import ClientSession
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from sync.contract.channels import CHANNEL_RULES, Direction
from sync.contract.topics import DISTRICT_CHANNELS, Channel, Topic, every_box
from sync.edge.identity.certificate_check import check_certificate_accepted
from sync.edge.link.sender import SenderSettings
from sync.errors import BrokerUntrusted, LinkLost, LinkRefused, PublishRefused, UnsafeLink
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.connection import Connection
from sync.mqtt.packets import Options, Subscription
from sync.mqtt.tls_files import TlsFiles
from sync.platform.authority.certificates import Authority, CaFiles, key_pem, new_key, utc_now
from sync.platform.authority.own import write_platform_files, write_server_files
from sync.platform.authority.registry import BoxStatus, Registry
from sync.platform.brokers import emqx
from sync.platform.brokers.kick import kick, reload_mosquitto
from sync.platform.brokers.mosquitto import Ports
from sync.platform.commands.cli import app
from sync.platform.records.open_store import open_store
from sync.platform.service import PlatformService
from tests.limits import HANG_S
from tests.ports import free_port
from tests.sync.city import a_box, a_platform, alarm, eventually, link_settings, passage

BOX_LANES = [lane for lane in Channel if lane not in DISTRICT_CHANNELS]


@dataclass
class District:
    """A district whose broker runs as `edge-platform broker config` wrote it."""

    data: Path
    boxes_port: int
    platform_port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def authority(self) -> Authority:
        return CaFiles.below(self.data / "ca").load()

    @property
    def folder(self) -> Path:
        return self.data / "broker"

    def url(self, port: int) -> str:
        return f"mqtts://localhost:{port}"

    def box(self, name: str, *, days: int = 10, authority: Authority | None = None) -> TlsFiles:
        """Files of a box, registered as if it had been enrolled."""
        authority, key = authority or self.authority, new_key()
        certificate = authority.box(name, key.public_key(), days)
        files = TlsFiles(self.folder / "ca.pem", self.data / f"{name}.pem", self.data / f"{name}.key")
        assert files.certificate is not None and files.key is not None
        pem = certificate.public_bytes(Encoding.PEM) + authority.issuing.public_bytes(Encoding.PEM)
        files.certificate.write_bytes(pem)
        files.key.write_bytes(key_pem(key))
        return files

    def as_box(self, name: str, files: TlsFiles | None = None) -> Options:
        broker = BrokerAddress.from_url(self.url(self.boxes_port), files or self.box(name))
        return Options(broker, f"demo.{name}", session_expiry_s=60)

    def as_platform(self, client_id: str = "platform") -> Options:
        files = write_platform_files(self.authority, self.data / "own")
        return Options(BrokerAddress.from_url(self.url(self.platform_port), files), client_id, session_expiry_s=0)

    def start(self) -> None:
        config = self.data / "running.conf"
        user = "user root\n" if os.geteuid() == 0 else ""  # as another user it may not see the folders of a test
        config.write_text((self.folder / "mosquitto.conf").read_text() + user)
        with (self.data / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen(["/usr/sbin/mosquitto", "-c", config], stdout=log, stderr=log)

    async def ready(self) -> None:
        async def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.platform_port)) == 0

        await eventually(answers)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(HANG_S)


def edge_platform(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[District]:
    """One broker for all tests of this file: they use boxes of their own names."""
    data = tmp_path_factory.mktemp("district")
    made = District(data, free_port(), free_port())
    (data / "state").mkdir()
    edge_platform("ca", "init", "--url", "https://localhost:8443", "--data", str(data))
    arguments = ["--out", str(made.folder), "--host", "localhost", "--data", str(data)]
    arguments += ["--listen", f"127.0.0.1:{made.boxes_port}", "--platform-listen", f"127.0.0.1:{made.platform_port}"]
    arguments += ["--state", str(data / "state"), "--pid-file", str(data / "mosquitto.pid")]
    edge_platform("broker", "config", *arguments)
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def district(written: District) -> District:
    await written.ready()
    return written


def topic(lane: Channel, box: str, district: str = "demo") -> str:
    command = "restart" if lane is Channel.COMMAND else None
    return str(Topic(district, lane, None if lane in DISTRICT_CHANNELS else box, command))


def goes(lane: Channel, direction: Direction) -> bool:
    return CHANNEL_RULES[lane].direction in (direction, Direction.BOTH)


async def refused(connection: Connection, where: str) -> None:
    with pytest.raises(PublishRefused, match="Not authorized"):
        await connection.publish(where, b"forged")


async def heard_before(connection: Connection, last: str) -> list[str]:
    """Topics of what came until the message on `last`."""
    async with asyncio.timeout(HANG_S):
        topics: list[str] = []
        async for message in connection.messages():
            if message.topic == last:
                return topics
            topics.append(message.topic)
    return topics


async def test_a_box_publishes_only_on_its_own_channels(district: District) -> None:
    async with Connection.open(district.as_box("speaker")) as box:
        for lane in Channel:
            own, other = topic(lane, "speaker"), topic(lane, "somebody")
            if lane not in DISTRICT_CHANNELS and goes(lane, Direction.UP):
                await box.publish(own, b"")
            else:
                await refused(box, own)
            if lane not in DISTRICT_CHANNELS:
                await refused(box, other)
            await refused(box, topic(lane, "speaker", "elsewhere"))
        for where in ("$SYS/broker", "sentinel", "sentinel/v1/demo/speaker", "sentinel/v1/demo/speaker/alarm/more"):
            await refused(box, where)


async def test_a_box_receives_nothing_to_or_from_another_box(district: District) -> None:
    """The broker grants every subscription, so what counts is what is delivered."""
    spied = [topic(lane, "victim") for lane in BOX_LANES]
    filters = [*spied, "#", "sentinel/#", "sentinel/v1/demo/+/alarm", "sentinel/v1/demo/victim/#", "$SYS/#"]
    filters += ["$share/ingest/sentinel/v1/demo/+/passage", "+/+/+/+/+", "+/+/+/+/+/+"]
    async with (
        Connection.open(district.as_box("spy")) as spy,
        Connection.open(district.as_box("victim")) as victim,
        Connection.open(district.as_platform("platform.speaks")) as platform,
    ):
        await spy.subscribe(*(Subscription(each) for each in filters), Subscription(topic(Channel.ACK, "spy")))
        for lane in BOX_LANES:
            if goes(lane, Direction.UP):
                await victim.publish(topic(lane, "victim"), b"secret", retain=True)
            if goes(lane, Direction.DOWN):
                await platform.publish(topic(lane, "victim"), b"secret", retain=True)
        await platform.publish(topic(Channel.ACK, "spy"), b"")
        own = topic(Channel.ACK, "spy")
        assert set(await heard_before(spy, own)) == set()
        # What was retained is not given to one who comes later either.
        await spy.subscribe(*(Subscription(each) for each in filters))
        await platform.publish(own, b"")
        assert set(await heard_before(spy, own)) == set()


async def test_a_box_receives_messages_to_it_and_its_district(district: District) -> None:
    heard = [lane for lane in Channel if goes(lane, Direction.DOWN)]
    async with (
        Connection.open(district.as_box("listener")) as box,
        Connection.open(district.as_platform("platform.speaks")) as platform,
    ):
        await box.subscribe(*(Subscription(topic(lane, "listener")) for lane in (*heard, Channel.STATE)))
        await box.publish(topic(Channel.STATE, "listener"), b"")
        for lane in heard:
            await platform.publish(topic(lane, "listener"), b"")
        expected = [topic(lane, "listener") for lane in (Channel.STATE, *heard)]
        assert await heard_before(box, expected[-1]) == expected[:-1]


async def test_the_platform_publishes_what_boxes_read_and_reads_what_they_publish(district: District) -> None:
    up = [lane for lane in Channel if goes(lane, Direction.UP)]
    async with (
        Connection.open(district.as_platform("platform.hears")) as platform,
        Connection.open(district.as_box("teller")) as box,
    ):
        await platform.subscribe(*(Subscription(topic(lane, "teller")) for lane in up))
        for lane in up:
            await box.publish(topic(lane, "teller"), b"")
        assert await heard_before(platform, topic(up[-1], "teller")) == [topic(lane, "teller") for lane in up[:-1]]
        for lane in Channel:
            if not goes(lane, Direction.DOWN):
                await refused(platform, topic(lane, "teller"))
            await refused(platform, topic(lane, "teller", "elsewhere"))


async def test_a_box_cannot_take_over_the_session_of_another(district: District) -> None:
    """mosquitto hands a session to whoever names its client id, unless the name in the certificate is the client id."""
    async with Connection.open(district.as_box("owner")) as owner:
        await owner.subscribe(Subscription(topic(Channel.ACK, "owner")))
        for client_id in ("owner", "demo.owner", "platform", "demo.platform.desk"):
            thief = replace(district.as_box("thief"), client_id=client_id)
            async with Connection.open(thief):
                pass
        async with Connection.open(district.as_platform("platform.speaks")) as platform:
            await platform.publish(topic(Channel.ACK, "owner"), b"still there")
        assert await heard_before(owner, topic(Channel.ACK, "owner")) == []


async def test_the_whole_path_runs_over_this_broker(district: District, tmp_path: Path) -> None:
    own = write_platform_files(district.authority, tmp_path / "own")
    url = district.url(district.platform_port)
    settings = link_settings(district.url(district.boxes_port), "path-box", tls=district.box("path-box"))
    async with (
        a_platform(tmp_path / "platform", url, tls=own) as platform,
        a_box(tmp_path / "box", settings) as box,
    ):
        for index in range(5):
            await box.ledger.append(passage(index))
        await eventually(box.all_acknowledged)
        assert await days_on_the_fleet_page(platform) == pytest.approx(10, abs=0.1)


def group_filters() -> list[str]:
    """Shared subscriptions by which a box may try to take the records of others; the first ones were once the group."""
    groups = ("ingest", "demo", "platform", "$share", "0" * 32)
    records = [every_box("demo", lane) for lane in (Channel.ALARM, Channel.PASSAGE, Channel.BACKLOG)]
    return [f"$share/{group}/{each}" for group in groups for each in (*records, "#", "sentinel/v1/demo/victim-of/#")]


@pytest.mark.parametrize("stays", [True, False])
async def test_no_box_takes_a_share_of_the_records(district: District, tmp_path: Path, stays: bool) -> None:
    """What counts is who receives what: the platform every record at the first attempt, a thief none."""
    own = write_platform_files(district.authority, tmp_path / "own")
    sender = SenderSettings(resend_s=600, silent_s=900, lost_s=900)  # what a thief took would not be sent again
    victim = district.box("victim-of")
    settings = link_settings(district.url(district.boxes_port), "victim-of", tls=victim, sender=sender)
    thieves = [district.as_box(f"thief-{number}") for number in range(3)]
    async with AsyncExitStack() as stack:
        taken = []
        for options in thieves:
            thief = await stack.enter_async_context(Connection.open(options))
            await thief.subscribe(*(Subscription(each) for each in group_filters()))
            taken.append(thief)
            if not stays:
                await stack.aclose()  # the broker keeps the session and its place in a group
        async with (
            a_platform(tmp_path / "platform", district.url(district.platform_port), tls=own),
            a_box(tmp_path / "box", settings) as box,
        ):
            for index in range(40):
                await box.ledger.append(alarm(index) if index % 2 else passage(index))
            await eventually(box.all_acknowledged)
        for options, thief in zip(thieves, taken, strict=True):
            if stays:
                name = options.client_id.partition(".")[2]
                await thief.subscribe(Subscription(topic(Channel.STATE, name)))
                await thief.publish(topic(Channel.STATE, name), b"")
                heard = await heard_before(thief, topic(Channel.STATE, name))
                assert [each for each in heard if "victim-of" in each] == []


async def test_the_group_is_of_the_store_and_cannot_be_guessed(tmp_path: Path) -> None:
    async with open_store(str(tmp_path / "a.db")) as first, open_store(str(tmp_path / "b.db")) as other:
        name = await first.ingest_group()
        assert re.fullmatch("[0-9a-f]{32}", name)
        assert name != await other.ingest_group()
        async with open_store(str(tmp_path / "a.db")) as again:  # another ingest process
            assert await again.ingest_group() == name


def test_emqx_refuses_shared_subscriptions_to_boxes_and_limits_them(tmp_path: Path) -> None:
    text = emqx.config(Ports())
    boxes = text.partition("zones.boxes.mqtt {")[2].partition("}")[0]
    assert "shared_subscription = false" in boxes
    assert "shared_subscription" not in text.partition("zones.platform.mqtt {")[2].partition("}")[0]
    assert text.count("messages_rate") == text.count("bytes_rate") == 1
    assert text.index("listeners.ssl.boxes") < text.index("messages_rate") < text.index("listeners.ssl.platform")
    rules = emqx.rules("demo")
    assert rules.index("$share/#") < rules.index("{allow, all, subscribe")


async def test_the_broker_bounds_what_one_client_can_hold(district: District) -> None:
    async with Connection.open(district.as_box("huge")) as box:
        assert box.max_packet_bytes == 262_144
        with pytest.raises(PublishRefused):
            await box.publish(topic(Channel.ALARM, "huge"), b"x" * 300_000)
    assert "max_queued_bytes 67108864" in (district.folder / "mosquitto.conf").read_text()


async def days_on_the_fleet_page(platform: PlatformService) -> float:
    shown: list[float] = []

    async def there() -> bool:
        async with (
            ClientSession() as session,
            session.get(f"http://127.0.0.1:{platform.http_port}/api/stats") as answer,
        ):
            days = [box["certificate_days"] for box in (await answer.json())["boxes"]]
        shown[:] = [each for each in days if each is not None]
        return bool(shown)

    await eventually(there)
    return shown[0]


# Who is not let in, and what our own client says about it.


async def why_not(options: Options) -> str:
    """What stands in the way of a connection; the same is said by a knock."""
    with pytest.raises((LinkRefused, BrokerUntrusted)) as caught:
        async with Connection.open(options):
            pass
    with pytest.raises(type(caught.value)) as knocked:
        await check_certificate_accepted(options.broker)
    assert str(knocked.value) == str(caught.value)
    assert any("一" <= letter <= "鿿" for letter in str(caught.value))
    return str(caught.value)


async def test_an_expired_certificate(district: District) -> None:
    past = CaFiles.below(district.data / "ca").load(lambda: utc_now() - timedelta(days=30))
    said = await why_not(district.as_box("late", district.box("late", days=10, authority=past)))
    assert "expired" in said and "renew" in said


async def test_a_certificate_from_the_future(district: District) -> None:
    ahead = CaFiles.below(district.data / "ca").load(lambda: utc_now() + timedelta(days=30))
    assert "check the clock" in await why_not(district.as_box("early", district.box("early", authority=ahead)))


async def test_a_certificate_of_another_authority(district: District, tmp_path: Path) -> None:
    stranger = CaFiles.below(tmp_path / "ca").create("demo")
    said = await why_not(district.as_box("stranger", district.box("stranger", authority=stranger)))
    assert "does not know the authority" in said and "enrol" in said


async def test_a_certificate_of_a_server(district: District) -> None:
    files = write_server_files(district.authority, district.data / "server", "server", ["box-1"])
    said = await why_not(district.as_box("server", replace(files, ca=district.folder / "ca.pem")))
    assert "not a client certificate" in said


async def test_no_certificate(district: District) -> None:
    said = await why_not(district.as_box("bare", TlsFiles(ca=district.folder / "ca.pem")))
    assert "requires a client certificate" in said and "enrol" in said


async def test_a_broker_of_another_authority(district: District, tmp_path: Path) -> None:
    CaFiles.below(tmp_path / "ca").create("demo")
    files = replace(district.box("careful"), ca=tmp_path / "ca" / "root.pem")
    said = await why_not(district.as_box("careful", files))
    assert "not signed by a trusted authority" in said and "check the CA file" in said


async def test_a_broker_of_another_name(district: District) -> None:
    there = BrokerAddress.from_url(f"mqtts://127.0.0.1:{district.boxes_port}", district.box("precise"))
    assert "does not match the host name" in await why_not(Options(there, "precise"))


async def test_a_broker_whose_certificate_has_expired(district: District, tmp_path: Path) -> None:
    past = CaFiles.below(district.data / "ca").load(lambda: utc_now() - timedelta(days=1900))
    files = write_server_files(past, tmp_path, "old", ["localhost"])
    async with tls_listener(files) as port:
        there = BrokerAddress.from_url(f"mqtts://localhost:{port}", district.box("punctual"))
        said = await why_not(Options(there, "punctual"))
    assert "has expired" in said and "clock" in said


async def test_plain_text(district: District) -> None:
    with pytest.raises(UnsafeLink, match="Plain MQTT is allowed on loopback only"):
        BrokerAddress.from_url(f"mqtt://city.example:{district.boxes_port}")
    with pytest.raises(LinkLost):
        async with Connection.open(
            Options(BrokerAddress("127.0.0.1", district.boxes_port), "plain", reply_timeout_s=HANG_S)
        ):
            pass
    async with plain_listener() as port:
        there = BrokerAddress.from_url(f"mqtts://localhost:{port}", district.box("wary"))
        assert "does not use TLS" in await why_not(Options(there, "wary"))


async def test_a_revoked_box_is_disconnected_and_cannot_reconnect(district: District) -> None:
    files = district.box("robbed")
    await enrolled_as(district, "robbed", files)
    thrown_out = asyncio.Event()

    async def stay() -> None:
        async with Connection.open(district.as_box("robbed", files)) as connection:
            inside.set()
            with pytest.raises(LinkLost):
                await connection.batch(1)
            thrown_out.set()

    inside = asyncio.Event()
    async with asyncio.TaskGroup() as group, asyncio.timeout(HANG_S):
        group.create_task(stay())
        await inside.wait()
        own = write_platform_files(district.authority, district.data / "own")
        arguments = [
            "--broker",
            district.url(district.platform_port),
            "--pid-file",
            str(district.data / "mosquitto.pid"),
        ]
        arguments += ["--ca", str(own.ca), "--certificate", str(own.certificate), "--key", str(own.key)]
        said = await asyncio.to_thread(
            edge_platform, "boxes", "revoke", "robbed", "--yes", "--data", str(district.data), *arguments
        )
        assert "revoked" in said
        await thrown_out.wait()

    async def refused_now() -> bool:
        try:
            await check_certificate_accepted(district.as_box("robbed", files).broker)
        except LinkRefused as exc:
            return "revoked" in str(exc)
        return False

    await eventually(refused_now)  # the broker reads its list between two turns of its loop
    assert "revoked" in await why_not(district.as_box("robbed", files))
    async with Connection.open(district.as_box("honest")):
        pass


async def test_remaining_steps_of_a_revocation_are_reported(district: District, tmp_path: Path) -> None:
    await enrolled_as(district, "far", district.box("far"))
    arguments = ["boxes", "revoke", "far", "--data", str(district.data), "--pid-file", str(tmp_path / "none")]
    asked = await asyncio.to_thread(edge_platform, *arguments, code=1)
    assert "serial" in asked and "cannot be undone" in asked and "Nothing was changed" in asked
    listed = json.loads(await asyncio.to_thread(edge_platform, "boxes", "list", "--json", "--data", str(district.data)))
    assert {box["name"]: box["status"] for box in listed}["far"] != "revoked"
    arguments.append("--yes")
    said = await asyncio.to_thread(edge_platform, *arguments, code=1)
    assert "systemctl reload mosquitto" in said and "--broker" in said
    read = json.loads(await asyncio.to_thread(edge_platform, *arguments, "--json", code=1))
    assert (read["name"], read["status"]) == ("far", "revoked")
    assert said == "\n".join(["far 已吊销 revoked", *read["left_to_do"], ""])
    away = ["--broker", f"mqtt://127.0.0.1:{free_port()}"]
    assert "try again" in await asyncio.to_thread(edge_platform, *arguments, *away, code=1)


def test_only_a_mosquitto_process_is_signalled_to_reload(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    assert not reload_mosquitto(file)
    for text in (str(os.getpid()), "no number", "999999999"):
        file.write_text(text)
        assert not reload_mosquitto(file)


async def test_kicking_a_box_that_is_not_connected(district: District) -> None:
    async with Connection.open(district.as_box("bystander")) as box:
        await kick(district.as_platform().broker, "demo.nobody")
        await box.publish(topic(Channel.ALARM, "bystander"), b"")
        assert box.reply_age_s is not None


def test_the_rules_for_emqx_name_the_same_topics(written: District, tmp_path: Path) -> None:
    arguments = ["--for", "emqx", "--out", str(tmp_path), "--host", "localhost", "--data", str(written.data)]
    edge_platform("broker", "config", *arguments)
    mosquitto_rules = (written.folder / "acl").read_text().replace("%u", "${username}")
    emqx_rules = (tmp_path / "acl.conf").read_text()
    topics = {line.split()[-1] for line in mosquitto_rules.splitlines() if "/" in line}
    assert {line.strip(' ",') for line in emqx_rules.splitlines() if "/" in line and "{deny" not in line} == topics
    assert emqx_rules.rstrip().endswith("{deny, all}.")


async def enrolled_as(district: District, name: str, files: TlsFiles) -> None:
    """Put what was issued to `name` into the register, as the enroller does."""
    assert files.certificate is not None
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    async with Registry.opened(district.data / "boxes.db") as registry:
        await registry.invite(f"SN-{name}", name)
        await registry.change(
            lambda book: book.add_certificate(
                certificate.serial_number,
                name,
                f"key of {name}",
                certificate.not_valid_before_utc,
                certificate.not_valid_after_utc,
            )
        )
        [known] = await registry.change(lambda book: [box for box in book.boxes() if box.name == name])
        assert known.status is BoxStatus.INVITED


@asynccontextmanager
async def tls_listener(files: TlsFiles) -> AsyncIterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    assert files.certificate is not None
    context.load_cert_chain(files.certificate, files.key)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def plain_listener() -> AsyncIterator[int]:
    def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x20\x03\x00\x84\x00")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
