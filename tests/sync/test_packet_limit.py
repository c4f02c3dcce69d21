"""A broker that accepts only small packets: messages are made to fit, and what cannot fit is said."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from paho.mqtt.properties import VariableByteIntegers

from sync.contract.health import Colour, Freshness
from sync.contract.messages import DirectoryPage, DirectoryRequest
from sync.contract.topics import Channel, every_box
from sync.edge.link.sender import SenderSettings
from sync.errors import MessageTooLarge, NoAnswer
from sync.mqtt.connection import Connection
from sync.mqtt.events import decode_event
from sync.mqtt.packets import UNLIMITED_BYTES, Properties, Subscription, publish_bytes
from sync.platform.directory.publisher import DirectoryPublisher
from sync.platform.directory.store import DirectoryStore
from sync.platform.orders.issuer import OrderIssuer
from sync.platform.orders.order_log import OrderLog
from tests.limits import HANG_S
from tests.sync.city import (
    SIGNING_KEY,
    Mosquitto,
    a_box,
    a_platform,
    eventually,
    link_settings,
    mixed,
    mosquitto,
    running,
    status_of,
)
from tests.sync.mqtt.test_connection import next_message, options

LIMIT_BYTES = 4096
PERSONS = 600  # a page of 500 has some 100,000 bytes


def small_broker(home: Path, limit_bytes: int = LIMIT_BYTES) -> AbstractContextManager[Mosquitto]:
    return mosquitto(home, extra=f"max_packet_size {limit_bytes}\n")


async def fill_directory(home: Path, persons: int) -> None:
    home.mkdir()
    async with DirectoryStore.opened(home / "directory.db") as directory:
        await directory.put([status_of(index) for index in range(persons)])


MESSAGES = [
    ("t", Properties()),
    ("一/二", Properties("application/json", (("id", "一"), ("type", "t")), "answers/here", b"\x00\x01", 30)),
    ("t", Properties(user=tuple(("name", "value") for _ in range(20)))),
    ("a/" * 100 + "z", Properties(correlation=b"c" * 100)),
]


def wire_bytes(topic: str, body: bytes, properties: Properties) -> int:
    """Size of the packet as paho packs it."""
    packed = PahoProperties(PacketTypes.PUBLISH)
    for name, value in (
        ("ContentType", properties.content_type),
        ("ResponseTopic", properties.response_topic),
        ("CorrelationData", properties.correlation),
        ("MessageExpiryInterval", properties.expiry_s),
        ("UserProperty", list(properties.user)),
    ):
        if value:
            setattr(packed, name, value)
    rest = 2 + len(topic.encode()) + 2 + len(packed.pack()) + len(body)
    return 1 + len(VariableByteIntegers.encode(rest)) + rest


@pytest.mark.parametrize("body_bytes", [0, 1, 127, 128, 16_384, 2_097_152])
@pytest.mark.parametrize(("topic", "properties"), MESSAGES)
def test_the_size_of_a_packet_is_that_on_the_wire(topic: str, properties: Properties, body_bytes: int) -> None:
    size_bytes = publish_bytes(topic, bytes(body_bytes), properties)
    assert 0 <= size_bytes - wire_bytes(topic, bytes(body_bytes), properties) <= 6


@pytest.mark.parametrize(("topic", "properties"), MESSAGES)
async def test_the_limit_is_used_to_the_last_bytes_and_never_exceeded(
    tmp_path: Path, topic: str, properties: Properties
) -> None:
    room = LIMIT_BYTES - publish_bytes(topic, b"", properties)
    with small_broker(tmp_path) as broker:
        async with Connection.open(options(broker, "a")) as sender, Connection.open(options(broker, "b")) as receiver:
            assert sender.max_packet_bytes == LIMIT_BYTES
            await receiver.subscribe(Subscription(topic))
            await sender.publish(topic, b"x" * room, properties=properties)
            assert len((await next_message(receiver)).body) == room
            for qos in (0, 1):
                with pytest.raises(MessageTooLarge, match=f"has 4097 bytes and the broker accepts {LIMIT_BYTES}"):
                    await sender.publish(topic, b"x" * (room + 1), qos=qos, properties=properties)
            with pytest.raises(NoAnswer, match="max_packet_size"):
                await sender.request(topic, b"x" * LIMIT_BYTES, answer_topic="answer", timeout_s=HANG_S)
            await sender.publish(topic, b"still connected", properties=properties)
            assert (await next_message(receiver)).body == b"still connected"


async def test_without_a_limit_every_packet_is_allowed(broker: Mosquitto) -> None:
    async with Connection.open(options(broker, "a")) as connection:
        assert connection.max_packet_bytes >= 20_000_000
    assert publish_bytes("t", b"", Properties()) < UNLIMITED_BYTES


async def test_pages_of_the_directory_and_the_backlog_fit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with small_broker(tmp_path) as broker:
        settings = link_settings(broker.url)
        settings = replace(settings, sender=replace(settings.sender, live_age_s=0.0))
        await fill_directory(tmp_path / "platform", PERSONS)
        async with a_platform(tmp_path / "platform", broker.url), a_box(tmp_path / "box", settings) as box:
            await box.ledger.append_all(mixed(120))

            async def is_fresh() -> bool:
                return box.directory.freshness()[0] is Freshness.FRESH

            await eventually(is_fresh)
            await eventually(box.all_acknowledged)
            assert box.directory.cursor == PERSONS
            assert (await box.ledger.status()).parked == 0
            assert box.link.status().reconnects == 0
    said = [record.message for record in caplog.records if "packets of 4096 bytes" in record.message]
    assert any("a page has at most" in line for line in said)
    assert sum("backlog" in line for line in said) == 1
    assert len(said) < 12


async def test_a_message_that_can_never_fit_ends_neither_side(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nor is an acknowledgement missed for records that were never sent."""
    timing = SenderSettings(resend_s=0.05, silent_s=0.2, lost_s=0.4)
    with small_broker(tmp_path, 600) as broker:
        await fill_directory(tmp_path / "platform", 1)
        async with (
            a_platform(tmp_path / "platform", broker.url),
            a_box(tmp_path / "box", link_settings(broker.url, sender=timing)) as box,
        ):
            await box.ledger.append_all(mixed(5))
            begun_s = time.monotonic()

            async def is_said() -> bool:
                lines = [record.message for record in caplog.records if "raise its max_packet_size" in record.message]
                tried_long = time.monotonic() - begun_s > 2 * timing.lost_s
                return (
                    tried_long
                    and any("directory page" in line for line in lines)
                    and any("record" in line for line in lines)
                )

            await eventually(is_said)
            assert (await box.ledger.status()).parked == 0
            assert (await box.ledger.status()).unacknowledged > 0
            assert box.link.status().reconnects == 0
    assert sum("not connected" in record.message for record in caplog.records) == 0


async def test_a_revocation_of_many_is_sent_in_parts(tmp_path: Path) -> None:
    keys = [status_of(index).person_key for index in range(40)]
    with small_broker(tmp_path) as broker:
        async with (
            DirectoryStore.opened(tmp_path / "directory.db") as directory,
            Connection.open(options(broker, "orders")) as connection,
            Connection.open(options(broker, "box")) as listener,
            OrderLog.opened(tmp_path / "orders.db", SIGNING_KEY) as order_log,
        ):
            await listener.subscribe(Subscription(f"sentinel/v1/demo/{Channel.REVOCATION}"))
            issuer = OrderIssuer(connection, order_log, "demo")
            assert await issuer.revoke(directory, keys, Colour.RED) == keys
            heard = b""
            while not all(key.encode() in heard for key in keys):
                heard += (await next_message(listener)).body
            page = await directory.page(DirectoryRequest("", 0))
    assert len(page.ops) == 40


async def test_the_limit_of_one_broker_does_not_hold_for_the_next(tmp_path: Path, broker: Mosquitto) -> None:
    sizes = []
    await fill_directory(tmp_path / "platform", 100)
    async with DirectoryStore.opened(tmp_path / "platform" / "directory.db") as directory:
        publisher = DirectoryPublisher(directory, "demo", confirm_s=HANG_S, gather_s=0.0)
        with small_broker(tmp_path) as small:
            for each in (small, broker):
                async with (
                    Connection.open(options(each, "platform")) as platform,
                    Connection.open(options(each, "box")) as box,
                ):
                    await box.subscribe(Subscription(every_box("demo", Channel.DIRECTORY)))
                    async with running(publisher.run(platform)):
                        publisher.follow("box-1", DirectoryRequest("", 0))
                        page = decode_event(await next_message(box)).message(DirectoryPage)
                        publisher.unfollow("box-1")
                assert isinstance(page, DirectoryPage)
                sizes.append(len(page.ops))
    assert sizes[0] < sizes[1] == 100
