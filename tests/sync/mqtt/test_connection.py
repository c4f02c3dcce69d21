"""The MQTT connection with a real broker."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sync.errors import BrokerUntrusted, LinkLost, LinkRefused, NoAnswer, PublishRefused, UnsafeLink
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.connection import Connection
from sync.mqtt.packets import Message, Options, Properties, Subscription, Will
from sync.mqtt.reconnect import stay_connected
from sync.mqtt.tls_files import TlsFiles
from tests.limits import HANG_S
from tests.ports import free_port
from tests.sync.certificates import Authority
from tests.sync.city import QUICK, Mosquitto, mosquitto, running


def options(broker: Mosquitto, client_id: str, **changes: object) -> Options:
    return replace(Options(BrokerAddress.from_url(broker.url), client_id), **changes)  # type: ignore[arg-type]


async def next_message(connection: Connection) -> Message:
    async with asyncio.timeout(HANG_S):
        [message] = await connection.batch(1)
        return message


async def test_a_message_arrives_with_its_properties(broker: Mosquitto) -> None:
    properties = Properties("application/json", (("id", "1"), ("type", "t")), "answers/here", b"\x00\x01", 30)
    async with Connection.open(options(broker, "a")) as sender, Connection.open(options(broker, "b")) as receiver:
        await receiver.subscribe(Subscription("some/+"))
        await sender.publish("some/topic", b"body", properties=properties)
        message = await next_message(receiver)
    assert (message.topic, message.body, message.qos, message.retained) == ("some/topic", b"body", 1, False)
    assert message.properties == properties


async def test_request_and_answer(broker: Mosquitto) -> None:
    async with Connection.open(options(broker, "a")) as asker, Connection.open(options(broker, "b")) as knower:
        await knower.subscribe(Subscription("question"))
        await asker.subscribe(Subscription("answer"))

        async def answer() -> None:
            async for message in knower.messages():
                reply = Properties(correlation=message.properties.correlation)
                await knower.publish(message.properties.response_topic or "", message.body.upper(), properties=reply)

        async with running(answer()):
            answers = await asyncio.gather(
                *(asker.request("question", b"a%d" % n, answer_topic="answer", timeout_s=HANG_S) for n in range(10, 30))
            )
    assert [each.body for each in answers] == [b"A%d" % n for n in range(10, 30)]


async def test_no_answer_within_the_limit(broker: Mosquitto) -> None:
    async with Connection.open(options(broker, "a")) as asker:
        with pytest.raises(NoAnswer):
            await asker.request("nobody/hears", b"", answer_topic="answer", timeout_s=0.05)


async def test_no_local_excludes_own_messages(broker: Mosquitto) -> None:
    async with Connection.open(options(broker, "a")) as one, Connection.open(options(broker, "b")) as other:
        await one.subscribe(Subscription("both", no_local=True))
        await one.publish("both", b"mine")
        await other.publish("both", b"theirs")
        assert (await next_message(one)).body == b"theirs"


async def test_the_broker_stops_at_receive_maximum(broker: Mosquitto) -> None:
    slow = options(broker, "slow", manual_ack=True, receive_maximum=5)
    async with Connection.open(slow) as receiver, Connection.open(options(broker, "a")) as sender:
        await receiver.subscribe(Subscription("flood"), Subscription("flood/end", qos=0))
        for number in range(20):
            await sender.publish("flood", b"%d" % number)
        await sender.publish("flood/end", b"", qos=0)
        held = [await next_message(receiver) for _ in range(6)]
        assert [each.topic for each in held] == ["flood"] * 5 + ["flood/end"]
        for each in held:
            receiver.ack(each)
        rest = [await next_message(receiver) for _ in range(5)]
        assert [each.body for each in rest] == [b"5", b"6", b"7", b"8", b"9"]


async def test_unacknowledged_messages_come_again_in_the_same_session(broker: Mosquitto) -> None:
    mine = options(broker, "worker", manual_ack=True)
    async with Connection.open(mine) as receiver, Connection.open(options(broker, "a")) as sender:
        await receiver.subscribe(Subscription("work"))
        await sender.publish("work", b"1")
        await sender.publish("work", b"2")
        receiver.ack(await next_message(receiver))
        assert (await next_message(receiver)).body == b"2"
    async with Connection.open(mine) as receiver:
        assert receiver.session_present
        assert (await next_message(receiver)).body == b"2"


async def test_qos_0_is_dropped_and_counted_when_the_inbox_is_full(broker: Mosquitto) -> None:
    small = options(broker, "small", receive_maximum=3)
    async with Connection.open(small) as receiver, Connection.open(options(broker, "a")) as sender:
        await receiver.subscribe(Subscription("noise", qos=0), Subscription("last"))
        for number in range(10):
            await sender.publish("noise", b"%d" % number, qos=0)
        await sender.publish("last", b"")
        while receiver.dropped < 7:
            await asyncio.sleep(0)
        assert [(await next_message(receiver)).body for _ in range(3)] == [b"0", b"1", b"2"]


async def test_a_second_reader_is_refused(broker: Mosquitto) -> None:
    async with Connection.open(options(broker, "a")) as connection, running(next_message(connection)) as first:
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one reader"):
            await connection.batch(1)
        first.cancel()


async def test_the_will_is_published_when_a_client_disappears(broker: Mosquitto) -> None:
    will = Will("state", b"gone", 1, True, Properties("text/plain"), delay_s=0)
    async with Connection.open(options(broker, "witness")) as witness:
        await witness.subscribe(Subscription("state"))
        # The broker disconnects the first of two clients with the same client id and ends its session.
        async with (
            Connection.open(options(broker, "a", will=will, session_expiry_s=0)),
            Connection.open(options(broker, "a", clean_start=True)),
        ):
            message = await next_message(witness)
    assert (message.body, message.properties.content_type) == (b"gone", "text/plain")


async def test_waiting_calls_fail_when_the_broker_dies(broker: Mosquitto) -> None:
    async with Connection.open(options(broker, "a")) as connection:
        await connection.subscribe(Subscription("answer"))
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(outcome(next_message(connection)))
            asking = group.create_task(outcome(connection.request("q", b"", answer_topic="answer", timeout_s=HANG_S)))
            await asyncio.sleep(0)
            await asyncio.to_thread(broker.stop, kill=True)
        assert isinstance(reading.result(), LinkLost)
        assert isinstance(asking.result(), LinkLost)
        with pytest.raises(LinkLost, match="connection was lost"):
            await connection.publish("t", b"")


async def outcome(work: object) -> BaseException | None:
    try:
        await work  # type: ignore[misc]
    except LinkLost as exc:
        return exc
    return None


async def test_a_cancellation_during_a_connection_loss_is_not_lost(broker: Mosquitto) -> None:
    serving = asyncio.Event()

    async def break_off() -> None:
        serving.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise LinkLost("in this very moment") from None

    async def serve(_: Connection) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(break_off())

    staying = asyncio.create_task(stay_connected("link", lambda: options(broker, "link"), serve, QUICK))
    await serving.wait()
    staying.cancel()
    async with asyncio.timeout(HANG_S):
        with pytest.raises(asyncio.CancelledError):
            await staying


async def test_no_broker() -> None:
    with pytest.raises(LinkLost, match="refused"):
        async with Connection.open(Options(BrokerAddress("127.0.0.1", free_port()), "a")):
            pass


async def test_a_broker_that_does_not_answer() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        mute = Options(BrokerAddress("127.0.0.1", silent.getsockname()[1]), "a", reply_timeout_s=0.1)
        with pytest.raises(LinkLost, match="CONNACK"):
            async with Connection.open(mute):
                pass


async def test_cancelled_while_connecting() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()

        async def connect() -> None:
            async with Connection.open(Options(BrokerAddress("127.0.0.1", silent.getsockname()[1]), "a")):
                pass

        async with running(connect()) as task:
            await asyncio.sleep(0)
            task.cancel()
        assert task.cancelled()


GARBAGE = [
    b"\x00" * 40,
    b"\xff" * 40,
    b"\x20\x02\x00",
    b"\x20\x7f" + b"\x01" * 127,
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x90\x00",
]


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_a_broker_that_sends_garbage(garbage: bytes) -> None:
    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(garbage)
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises((LinkLost, LinkRefused)):
        async with Connection.open(Options(BrokerAddress("127.0.0.1", port), "a", reply_timeout_s=HANG_S)):
            pass
    server.close()
    await server.wait_closed()


@pytest.fixture
def strict_broker(tmp_path: Path) -> Iterator[Mosquitto]:
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite open/#\n")
    rules.chmod(0o600)
    with mosquitto(tmp_path / "strict", extra=f"acl_file {rules}\n") as started:
        yield started


async def test_a_refused_publish_has_a_reason(strict_broker: Mosquitto) -> None:
    async with Connection.open(options(strict_broker, "a")) as connection:
        await connection.publish("open/door", b"")
        with pytest.raises(PublishRefused, match="Not authorized") as refused:
            await connection.publish("closed/door", b"")
        assert refused.value.code == 0x87


async def test_a_refused_connection_has_a_reason(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path / "closed", extra="allow_anonymous false\n") as closed,
        pytest.raises(LinkRefused, match="Not authorized"),
    ):
        async with Connection.open(options(closed, "a")):
            pass


@pytest.fixture
def tls_broker(tmp_path: Path) -> Iterator[tuple[Mosquitto, Authority]]:
    authority = Authority(tmp_path / "city")
    with mosquitto(tmp_path / "tls", extra=demanding(authority, authority.certificate("localhost"))) as started:
        yield started, authority


def demanding(authority: Authority, server: TlsFiles) -> str:
    """Configuration of a broker with the certificate `server` that requires client certificates of `authority`."""
    return f"cafile {authority.ca}\ncertfile {server.certificate}\nkeyfile {server.key}\nrequire_certificate true\n"


async def test_tls_with_both_certificates(tls_broker: tuple[Mosquitto, Authority]) -> None:
    broker, authority = tls_broker
    address = BrokerAddress.from_url(f"mqtts://localhost:{broker.port}", authority.certificate("box-1"))
    async with Connection.open(Options(address, "box-1")) as connection:
        await connection.subscribe(Subscription("big"))
        await connection.publish("big", b"x" * 300_000)
        assert len((await next_message(connection)).body) == 300_000


async def test_untrusted_tls_servers_are_rejected(tls_broker: tuple[Mosquitto, Authority], tmp_path: Path) -> None:
    broker, authority = tls_broker
    mine = authority.certificate("box-1")
    stranger = Authority(tmp_path / "stranger")
    wrong_authority = BrokerAddress.from_url(f"mqtts://localhost:{broker.port}", replace(mine, ca=stranger.ca))
    wrong_name = BrokerAddress.from_url(f"mqtts://127.0.0.1:{broker.port}", mine)
    for address, reason in ((wrong_authority, "unable to get|self.signed"), (wrong_name, "IP address mismatch")):
        with pytest.raises(BrokerUntrusted, match=reason):
            async with Connection.open(Options(address, "box-1")):
                pass


@pytest.mark.parametrize(
    ("begins_h", "ends_h", "reason"), [(-2, -1, "certificate has expired"), (1, 2, "certificate is not yet valid")]
)
async def test_a_broker_certificate_outside_its_validity_is_rejected(
    tmp_path: Path, begins_h: float, ends_h: float, reason: str
) -> None:
    authority = Authority(tmp_path / "authority")
    server = authority.certificate("localhost", begins_h=begins_h, ends_h=ends_h)
    with mosquitto(tmp_path / "tls", extra=demanding(authority, server)) as broker:
        address = BrokerAddress.from_url(f"mqtts://localhost:{broker.port}", authority.certificate("box-1"))
        with pytest.raises(BrokerUntrusted, match=reason):
            async with Connection.open(Options(address, "box-1")):
                pass


@pytest.mark.parametrize("whose", ["nobody's", "a stranger's", "expired"])
async def test_a_rejected_client_certificate_is_explained(
    tls_broker: tuple[Mosquitto, Authority], tmp_path: Path, whose: str
) -> None:
    broker, authority = tls_broker
    reason, files = {
        "nobody's": ("requires a client certificate: enrol this box .*REQUIRED", TlsFiles(authority.ca)),
        "a stranger's": (
            "does not know the authority that signed our certificate",
            replace(Authority(tmp_path / "x").certificate("box-1"), ca=authority.ca),
        ),
        "expired": ("Our certificate has expired", authority.certificate("box-1", begins_h=-2, ends_h=-1)),
    }[whose]
    with pytest.raises(LinkRefused, match=reason):
        async with Connection.open(Options(BrokerAddress.from_url(f"mqtts://localhost:{broker.port}", files), "box-1")):
            pass


@pytest.mark.parametrize(
    "url", ["mqtt://city.example:1883", "mqtt://10.0.0.1", "mqtt://0.0.0.0", "http://localhost", "x", "mqtt://"]
)
def test_plain_text_is_allowed_on_loopback_only(url: str) -> None:
    with pytest.raises(UnsafeLink):
        BrokerAddress.from_url(url)


@pytest.mark.parametrize(
    "url", ["mqtt://127.0.0.1", "mqtt://127.9.9.9:1", "mqtt://localhost:1883", "mqtt://[::1]:1883"]
)
def test_loopback_may_be_plain(url: str) -> None:
    assert BrokerAddress.from_url(url).tls is None


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnsafeLink, match="certificates"):
        BrokerAddress.from_url("mqtts://city.example", TlsFiles(ca=tmp_path / "missing.pem"))
