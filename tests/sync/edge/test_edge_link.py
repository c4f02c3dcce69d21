"""One box with a platform that is simulated by the test: rate limit, timeouts, clones, orders, earlier epochs."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from sync.contract.chain import first_hash, next_hash
from sync.contract.envelope import AnyMessage, Event
from sync.contract.health import Colour, Freshness
from sync.contract.messages import Ack, Backlog, BoxState, DirectoryOp, PlatformState
from sync.contract.orders import Command, CommandDone, Desired, Reported, Revocation
from sync.contract.records import AlarmRaised, RecordId
from sync.contract.topics import Channel, Topic, source_from
from sync.edge.ledger.ledger import Ledger
from sync.edge.link.clone_detector import CloneDetector
from sync.edge.link.link import PlatformLink
from sync.edge.link.sender import SenderSettings
from sync.edge.orders.receiver import OrderHandlers
from sync.errors import DuplicateDevice, LinkLost
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.connection import Connection
from sync.mqtt.events import decode_event, publish_event, topic_from
from sync.mqtt.packets import Message, Options, Subscription
from sync.mqtt.reconnect import Retry
from tests.limits import HANG_S
from tests.sync.city import (
    BUDGET_BYTES,
    Box,
    Mosquitto,
    a_box,
    alarm,
    eventually,
    link_settings,
    mixed,
    passage,
    running,
    signed,
    status_of,
)
from tests.sync.contract.asyncapi import check_against_the_contract

UP = (Channel.ALARM, Channel.PASSAGE, Channel.BACKLOG, Channel.REPORTED)
Name = tuple[str, int]


class City:
    """A simulated platform that records the messages of one box and answers as the test needs."""

    def __init__(self, connection: Connection) -> None:
        self.heard: list[Message] = []
        self.records: dict[Name, tuple[str, bytes, str | None]] = {}
        self.acknowledges = True
        self._connection = connection

    async def say(self, message: AnyMessage, channel: Channel, box: str | None = "box-1") -> None:
        await publish_event(self._connection, Topic("demo", channel, box), Event.of(message, source_from("demo", None)))

    async def order(self, topic: Topic, body: Desired | Command | Revocation, **how: float) -> None:
        event = Event.of(signed(body, topic, **how), source_from("demo", None))  # type: ignore[arg-type]
        await publish_event(self._connection, topic, event)

    async def listen(self) -> None:
        async for message in self._connection.messages():
            self.heard.append(message)
            check_against_the_contract(message)
            names = list(self._take(topic_from(message).channel, decode_event(message)))
            for epoch, group in itertools.groupby(sorted(names), key=lambda name: name[0]):
                if self.acknowledges:
                    await self.say(Ack(epoch, tuple((seq, seq) for _, seq in group)), Channel.ACK)

    def _take(self, channel: Channel, event: Event) -> list[Name]:
        if channel is Channel.BACKLOG:
            backlog = event.message(Backlog)
            new = {(backlog.epoch, each.seq): (each.type, bytes(each.data), each.chain) for each in backlog.records}
        elif channel in (Channel.ALARM, Channel.PASSAGE):
            name = RecordId.parse(event.id)
            new = {(name.epoch, name.seq): (event.kind, event.body, event.chain)}
        else:
            return []
        self.records |= new
        return list(new)

    def channels(self) -> list[Channel]:
        return [topic_from(message).channel for message in self.heard]


@asynccontextmanager
async def a_city(broker: Mosquitto, *, backlog_per_s: float | None = None) -> AsyncIterator[City]:
    async with Connection.open(Options(BrokerAddress.from_url(broker.url), "city")) as connection:
        await connection.subscribe(*(Subscription(f"sentinel/v1/demo/box-1/{channel}") for channel in UP))
        city = City(connection)
        async with running(city.listen()):
            await city.say(PlatformState(online=True, backlog_per_s=backlog_per_s), Channel.PLATFORM, None)
            yield city


async def test_the_hash_chain_is_complete_on_every_channel(tmp_path: Path, broker: Mosquitto) -> None:
    async with a_box(tmp_path / "box", link_settings(broker.url)) as box:
        await box.ledger.append_all(mixed(150))
        async with a_city(broker) as city:
            await eventually(box.all_acknowledged)
            for record in mixed(10, 150):
                await box.ledger.append(record)
            await eventually(box.all_acknowledged)
        expected = first_hash("box-1", box.ledger.epoch)
        for seq in range(1, 161):
            kind, body, chain = city.records[box.ledger.epoch, seq]
            expected = next_hash(expected, seq, kind, body)
            assert chain == expected.hex()
        assert set(city.channels()) == {Channel.ALARM, Channel.PASSAGE, Channel.BACKLOG}


async def test_records_of_a_damaged_ledger_are_delivered_under_their_old_ids(tmp_path: Path, broker: Mosquitto) -> None:
    path = tmp_path / "box" / "ledger.db"
    async with Ledger.opened(path, box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        await ledger.append_all(mixed(300))
        before = ledger.epoch
    whole = path.read_bytes()
    path.write_bytes(whole[: 4096 * 30] + bytes(4096) + whole[4096 * 31 :])
    async with a_city(broker) as city, a_box(tmp_path / "box", link_settings(broker.url)) as box:
        waiting = await box.ledger.earlier_unacknowledged(1000)
        assert len(waiting) > 250
        await eventually(box.all_acknowledged)
        await box.ledger.append(passage(1000))
        await eventually(box.all_acknowledged)
    assert {row.name: (row.kind, row.body, row.chain_hex) for row in waiting}.items() <= city.records.items()
    assert {epoch for epoch, _ in city.records} == {before, box.ledger.epoch}


async def test_backlog_follows_the_rate_limit_of_the_platform(tmp_path: Path, broker: Mosquitto) -> None:
    settings = link_settings(broker.url, sender=SenderSettings(resend_s=HANG_S, silent_s=HANG_S))
    async with a_box(tmp_path / "box", settings) as box:
        await box.ledger.append_all([passage(index) for index in range(500)])
        async with a_city(broker, backlog_per_s=0.1) as city:
            await eventually(lambda: count(city, 100))
            await box.ledger.append_all([alarm(1000), passage(1001)])  # nothing else waits for it
            await eventually(lambda: count(city, 102))
            await city.say(Ack(box.ledger.epoch, (), backlog_per_s=1e6), Channel.ACK)
            await eventually(lambda: count(city, 502))
    assert city.channels().count(Channel.BACKLOG) == 5


async def count(city: City, records: int) -> bool:
    assert len(city.records) <= records
    return len(city.records) == records


async def test_a_platform_that_acknowledges_nothing_counts_as_offline(tmp_path: Path, broker: Mosquitto) -> None:
    """It announces that it is online and the broker accepts every message, but nothing is acknowledged."""
    settings = link_settings(broker.url, sender=SenderSettings(resend_s=0.05, silent_s=0.2, lost_s=0.5))
    async with a_city(broker) as city, a_box(tmp_path / "box", settings) as box:
        city.acknowledges = False
        await box.ledger.append(passage(1))
        await eventually(lambda: platform_is(box.link, online=True))
        await eventually(lambda: platform_is(box.link, online=False))
        with pytest.raises(LinkLost):
            await box.link.query(status_of(1).person_key, 1)
        await eventually(lambda: reconnected(box.link))
        city.acknowledges = True
        await eventually(box.all_acknowledged)
        await eventually(lambda: platform_is(box.link, online=True))
        status = box.link.status()
        assert status.last_ack_age_s is not None
        assert status.last_puback_age_s is not None


async def platform_is(link: PlatformLink, *, online: bool) -> bool:
    return link.status().platform_online is online


async def reconnected(link: PlatformLink) -> bool:
    return link.status().reconnects >= 1


async def test_two_boxes_of_one_name_are_detected_and_one_backs_off(tmp_path: Path, broker: Mosquitto) -> None:
    settings = link_settings(broker.url, retry=Retry(cap_s=1.0, duplicate_s=1000))
    async with (
        a_city(broker),
        a_box(tmp_path / "original", settings, boot_id="one") as original,
        a_box(tmp_path / "copy", settings, boot_id="two") as copy,
    ):
        await eventually(lambda: one_backed_off(original, copy))


async def has_alarm(city: City, kind: str) -> bool:
    return any(f'"{kind}"'.encode() in body for _, body, _ in city.records.values())


async def one_backed_off(*boxes: Box) -> bool:
    """One box stays disconnected, and its ledger contains the alarm."""
    for box in boxes:
        alarms = [record for row in await box.ledger.recent(10) if isinstance(record := row.record(), AlarmRaised)]
        if "copied" in box.link.status().detail and alarms and alarms[0].kind == "cloned_box":
            return True
    return False


async def test_a_clone_raises_one_alarm_a_day(tmp_path: Path) -> None:
    day_s, at_s = 24 * 3600, 0.0
    async with Ledger.opened(tmp_path / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
        detector = CloneDetector(ledger, "ours", lambda: at_s)
        born = datetime.now(UTC)
        for at_s, alarms in ((0.0, 1), (600.0, 1), (day_s - 1.0, 1), (day_s, 2), (day_s + 600.0, 2)):
            born += timedelta(minutes=1)
            detector.birth_published(born)
            double = BoxState(online=True, epoch="0" * 16, boot_id=f"theirs {at_s}", versions={})
            later = replace(Event.of(double, source_from("demo", "box-1")), time=born + timedelta(seconds=1))
            detector.birth_published(born + timedelta(seconds=2))
            with pytest.raises(DuplicateDevice):
                await detector.check(later)
            assert ledger.last_seq == alarms


async def test_a_restarted_box_is_not_a_clone(tmp_path: Path, broker: Mosquitto) -> None:
    async with a_city(broker) as city:
        for boot_id in ("one", "two"):
            async with a_box(tmp_path / "box", link_settings(broker.url), boot_id=boot_id) as box:
                await box.ledger.append(passage(1))
                await eventually(box.all_acknowledged)
                async with Connection.open(Options(BrokerAddress.from_url(broker.url), "demo.box-1")):
                    pass  # disconnects the box once
                await eventually(lambda link=box.link: reconnected(link))  # type: ignore[misc]
                await box.ledger.append(passage(2))
                await eventually(box.all_acknowledged)
        assert not await has_alarm(city, "cloned_box")


async def test_orders_are_received_and_answered(tmp_path: Path, broker: Mosquitto) -> None:
    applied: list[Desired] = []

    async def apply(desired: Desired) -> bool:
        applied.append(desired)
        return False

    async def status(_arguments: dict[str, object]) -> dict[str, object]:
        return {"up_s": 5}

    handlers = OrderHandlers(apply, {"status": status})
    async with a_city(broker) as city, a_box(tmp_path / "box", link_settings(broker.url), handlers=handlers) as box:
        await eventually(lambda: platform_is(box.link, online=True))
        await city.order(Topic("demo", Channel.DESIRED, "box-1"), Desired(policy={"version": 2}))
        await city.order(Topic("demo", Channel.COMMAND, "box-1", "status"), Command())
        await eventually(lambda: answered(city, 2))
        reported, done = (decode_event(each).message(Reported, CommandDone) for each in city.heard)
        assert reported == Reported(1, accepted=True, in_force=1)
        assert isinstance(done, CommandDone)
        assert (done.command, done.result) == ("status", {"up_s": 5})
        red = status_of(1, colour=Colour.RED, version=1)
        ops = (DirectoryOp(1, red.person_key, msgspec.Raw(msgspec.json.encode(red))),)
        await city.order(Topic("demo", Channel.REVOCATION), Revocation("g", ops))
        await eventually(lambda: is_red(box.directory.lookup(red.person_key, budget_s=1)))
        assert box.directory.freshness()[0] is Freshness.EXPIRED
    assert applied == [Desired(policy={"version": 2})]


async def answered(city: City, times: int) -> bool:
    return city.channels().count(Channel.REPORTED) == times


async def is_red(found: object) -> bool:
    lookup = await found  # type: ignore[misc]
    return lookup.status is not None and lookup.status.colour is Colour.RED


async def test_without_a_key_signed_channels_are_not_subscribed(tmp_path: Path, broker: Mosquitto) -> None:
    async with a_city(broker) as city, a_box(tmp_path / "box", link_settings(broker.url)) as box:
        await eventually(lambda: platform_is(box.link, online=True))
        await city.order(Topic("demo", Channel.COMMAND, "box-1", "status"), Command())
        await box.ledger.append(passage(1))
        await eventually(box.all_acknowledged)
        assert Channel.REPORTED not in city.channels()
