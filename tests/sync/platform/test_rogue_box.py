"""One box with a valid certificate does what it can: the others are served, nothing of theirs is lost."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from bench.rogue import attack
from sync.contract.channels import CHANNEL_RULES, Direction
from sync.contract.envelope import CONTENT_TYPE, Event
from sync.contract.messages import Backlog, BacklogEntry, DirectoryPage, DirectoryRequest
from sync.contract.records import RECORD_LIMIT_BYTES, Gap, RecordId, encode_record
from sync.contract.topics import Channel, Topic, every_box, source_from
from sync.errors import BadMessage
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.budgets import BoxBudgets, Buckets, Budget, Rate
from sync.mqtt.connection import Connection
from sync.mqtt.events import box_from, decode_event, topic_from
from sync.mqtt.packets import Message, Options, Properties, Subscription
from sync.platform.directory.publisher import DirectoryPublisher
from sync.platform.directory.store import DirectoryStore
from sync.platform.fleet.fleet import Fleet
from sync.platform.fleet.page import FleetPage
from sync.platform.records.batch import Batch
from sync.platform.records.gaps import common, without
from sync.platform.records.open_store import open_store
from sync.platform.records.received import ReceivedRecord
from tests.limits import HANG_S
from tests.sync.city import Mosquitto, a_box, a_platform, alarm, clock, eventually, link_settings, running, status_of

EPOCH = f"{7:016x}"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def record(
    seq: int, *, box: str = "rogue", epoch: str = EPOCH, kind: str = "x.y", body: bytes = b"{}"
) -> ReceivedRecord:
    return ReceivedRecord.read(RecordId(box, epoch, seq), kind, NOW, NOW, body)


def live(box: str, seq: int, body: bytes, *, epoch: str = EPOCH, kind: str = "x.y", packed: bool = False) -> Message:
    """A live record as it arrives."""
    event = Event(f"{box}/{epoch}/{seq}", source_from("demo", box), kind, NOW, body, packed=packed)
    return wired(Topic("demo", Channel.PASSAGE, box), event)


def wired(topic: Topic, event: Event) -> Message:
    return Message(str(topic), event.payload(), 1, False, Properties(CONTENT_TYPE, event.user_properties()), 1)


# Budgets


def test_a_box_beyond_its_budget_delays_itself_alone() -> None:
    at = Clock()
    budgets = BoxBudgets(at)
    assert [budgets.allows(Channel.QUERY, "rogue", 100) for _ in range(850)].count(True) == 60
    assert budgets.allows(Channel.QUERY, "box-1", 100)
    assert budgets.allows(Channel.HEALTH, "rogue", 100)
    at.now_s += 1
    assert [budgets.allows(Channel.QUERY, "rogue", 100) for _ in range(850)].count(True) == 20


def test_bytes_count_as_messages_do() -> None:
    budgets = BoxBudgets(Clock())
    budget = Budget(Rate(1000, 1000), Rate(1000, 10_000))
    assert [budgets.allows(Channel.BACKLOG, "rogue", 4000, budget) for _ in range(5)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert budgets.allows(Channel.BACKLOG, "box-1", 50_000, budget)  # larger than the burst: counted as the burst


def test_budgets_are_bounded() -> None:
    buckets = Buckets()
    for number in range(10_500):
        assert buckets.take(f"box-{number}", 1, Rate(1, 1), 0.0)
    assert len(buckets._levels) == 10_000


def test_what_exceeds_a_budget_is_neither_stored_nor_refused() -> None:
    """It is not acknowledged either, so the box keeps it and sends it again."""
    batch = Batch([live("rogue", seq, b"{}") for seq in range(1, 1201)], BoxBudgets(Clock()))
    assert (len(batch.messages), len(batch.records), batch.refusals) == (1200, 1000, {})


def test_a_box_begins_few_epochs() -> None:
    at = Clock()
    budgets = BoxBudgets(at)
    begun = [live("rogue", 1, b"{}", epoch=f"{number:016x}") for number in range(1000)]
    assert len(Batch(begun, budgets).records) == 32
    at.now_s += 1
    assert len(Batch([live("rogue", 2, b"{}", epoch=f"{0:016x}")], budgets).records) == 1
    at.now_s += 3600
    again = [live("rogue", 1, b"{}", epoch=f"{number:016x}") for number in range(5000, 5100)]
    assert len(Batch(again, budgets).records) == 32


# What is too large, or packed where the contract has nothing packed


@pytest.mark.parametrize("channel", [each for each in Channel if CHANNEL_RULES[each].direction is not Direction.DOWN])
def test_no_body_of_a_box_is_unpacked(channel: Channel) -> None:
    topic = Topic("demo", channel, "rogue")
    event = Event("x", "s", "t", NOW, b"{}", packed=True)
    with pytest.raises(BadMessage, match="must not be packed"):
        decode_event(wired(topic, event), Direction.UP)
    with pytest.raises(BadMessage, match="bytes"):
        decode_event(wired(topic, Event("x", "s", "t", NOW, b" " * 1_100_000)), Direction.UP)


def test_pages_of_the_platform_may_be_packed_and_nothing_else() -> None:
    for channel in Channel:
        rule = CHANNEL_RULES[channel]
        assert (rule.packs is Direction.DOWN) == (channel is Channel.DIRECTORY)


def test_a_packed_backlog_is_dropped_before_it_grows() -> None:
    entries = tuple(BacklogEntry(seq, "x.y", NOW, msgspec.Raw(b'"' + b"0" * 70_000 + b'"')) for seq in range(1, 101))
    event = Event.of(Backlog(EPOCH, entries), source_from("demo", "rogue"), packed=True)
    assert len(event.payload()) < 100_000
    assert Batch([wired(Topic("demo", Channel.BACKLOG, "rogue"), event)]).records == []


def test_a_record_above_the_limit_is_refused_with_the_reason() -> None:
    def entry(seq: int, size: int) -> BacklogEntry:
        return BacklogEntry(seq, "x.y", NOW, msgspec.Raw(b'"' + b"0" * (size - 2) + b'"'))

    backlog = Backlog(EPOCH, (entry(1, RECORD_LIMIT_BYTES), entry(2, RECORD_LIMIT_BYTES + 1)))
    batch = Batch([wired(Topic("demo", Channel.BACKLOG, "box-1"), Event.of(backlog, source_from("demo", "box-1")))])
    assert [each.name.seq for each in batch.records] == [1]
    assert [(name.seq, "at most 65536 bytes" in why) for name, why in batch.refusals.items()] == [(2, True)]


# Structures that a box can grow


def test_many_gaps_are_subtracted_in_linear_time() -> None:
    absent = [(number, number) for number in range(2, 400_000, 2)]
    holes = [(first, first + 199) for first in range(1, 400_000, 400)]
    began_s = time.process_time()
    left = without(holes, absent)
    both = common(left, [(number, number) for number in range(1, 400_000, 3)])
    assert time.process_time() - began_s < 5  # the square of 200,000 takes hours
    assert (left[0], len(left)) == ((1, 1), 100_000)
    assert both[:2] == [(1, 1), (7, 7)]


async def test_forty_thousand_gaps_do_not_block_the_platform(tmp_path: Path) -> None:
    async with open_store(str(tmp_path / "records.db")) as store:
        worst_s = 0.0

        async def watch() -> None:
            nonlocal worst_s
            while True:
                before_s = time.monotonic()
                await asyncio.sleep(0.01)
                worst_s = max(worst_s, time.monotonic() - before_s)

        async with running(watch()):
            for first in range(1, 40_001, 1000):
                await store.insert([gap(seq) for seq in range(first, first + 1000)])
            absent = await store.absences("rogue", EPOCH, 10_000, 20_000)
        assert len(absent) == 5001
        assert worst_s < 2  # it was 31 s


def gap(seq: int) -> ReceivedRecord:
    lost = Gap(noted=clock(), lost={"x": 1}, first_seq=2 * seq, last_seq=2 * seq)
    return record(seq, kind=Gap.TYPE, body=encode_record(lost))


async def test_open_epochs_of_one_box_leave_room_for_others(records: str) -> None:
    async with open_store(records) as store:
        await store.insert([record(2, box="box-1")])
        await store.insert([record(2, epoch=f"{number:016x}") for number in range(100, 1300)])
        streams = await store.open_streams(0, 1)
    assert "box-1" in {each.box for each in streams}
    assert len([each for each in streams if each.box == "rogue"]) == 40


async def test_invented_kinds_and_forks_do_not_grow_the_page(records: str) -> None:
    async with open_store(records) as store:
        await store.insert([record(seq, kind=f"kind.{seq}") for seq in range(1, 60)])
        for body in (b"1", b"2"):
            await store.insert([record(1, epoch=f"{number:016x}", body=body) for number in range(100, 160)])
        totals = await store.totals("2026-11-30", 1)
        stats = await FleetPage(store, Fleet()).stats()
    assert totals.kinds == {"other": 119}
    assert (stats["records"], len(stats["forks"]), stats["boxes"][0]["rivals"]) == (119, 20, 60)


# Alarms from the future


async def test_alarms_are_ordered_by_their_arrival(records: str) -> None:
    def raised(index: int, ahead: timedelta, received: datetime) -> ReceivedRecord:
        moved = msgspec.structs.replace(clock(), wall=NOW + ahead)
        body = encode_record(msgspec.structs.replace(alarm(index), raised=moved, detail="a\n\x1b[2J"))
        name = RecordId("rogue" if ahead > timedelta(1) else "box-1", EPOCH, index)
        return ReceivedRecord.read(name, "sentinel.alarm.raised", NOW + ahead, received, body)

    async with open_store(records) as store:
        await store.insert([raised(index, timedelta(days=365), NOW) for index in range(1, 31)])
        await store.insert([raised(31, timedelta(days=-400), NOW + timedelta(seconds=1))])
        await store.insert([raised(32, timedelta(), NOW + timedelta(seconds=2))])
        shown = (await FleetPage(store, Fleet()).stats())["newest_alarms"]
    assert [each["box"] for each in shown] == ["box-1", "box-1", *["rogue"] * 18]
    assert (shown[0]["received"], shown[1]["at"]) == (NOW + timedelta(seconds=2), NOW - timedelta(days=400))
    assert shown[2]["at"] == NOW + timedelta(days=365)
    assert all(each["detail"].isprintable() for each in shown)


# The directory


async def test_a_box_that_begins_again_and_again_delays_nobody(tmp_path: Path, broker: Mosquitto) -> None:
    async with (
        DirectoryStore.opened(tmp_path / "directory.db") as source,
        Connection.open(Options(BrokerAddress.from_url(broker.url), "platform")) as platform,
        Connection.open(Options(BrokerAddress.from_url(broker.url), "ear", receive_maximum=1000)) as ear,
    ):
        people = 3000
        await source.put([status_of(index) for index in range(people)])
        await ear.subscribe(Subscription(every_box("demo", Channel.DIRECTORY)))
        publisher = DirectoryPublisher(source, "demo", confirm_s=60, gather_s=0.05)
        generation = (await source.page(DirectoryRequest("", 0), 1)).generation
        publisher.follow("box-1", DirectoryRequest(generation, people))
        pages = dict.fromkeys(("rogue", "newcomer", "box-1"), 0)
        seen, changed = [], 0
        async with running(publisher.run(platform)), asyncio.timeout(HANG_S):
            for box in ("rogue", "newcomer"):
                publisher.follow(box, DirectoryRequest("", 0))
            async for message in ear.messages():
                box = box_from(topic_from(message))
                page = decode_event(message).message(DirectoryPage)
                pages[box] += 1
                if box == "rogue":
                    publisher.follow("rogue", DirectoryRequest("", 0))
                if box == "newcomer" and page.checkpoint:
                    seen.append("copied")
                    publisher.unfollow("newcomer")
                if box == "box-1" and page.ops:
                    changed += 1
                    seen.append("changed")
                if pages["newcomer"] == 1 and changed == 0 and box == "newcomer":
                    await source.put([status_of(people)])
                if {"copied", "changed"} <= set(seen):
                    break
        assert changed == 1
        assert pages["newcomer"] == 7
        assert pages["rogue"] <= 12  # ten requests at once, then one every five seconds


async def test_a_change_comes_before_the_rest_of_a_copy(tmp_path: Path, broker: Mosquitto) -> None:
    async with (
        DirectoryStore.opened(tmp_path / "directory.db") as source,
        Connection.open(Options(BrokerAddress.from_url(broker.url), "platform")) as platform,
        Connection.open(Options(BrokerAddress.from_url(broker.url), "ear", receive_maximum=1000)) as ear,
    ):
        people = 6000
        await source.put([status_of(index) for index in range(people)])
        await ear.subscribe(Subscription(every_box("demo", Channel.DIRECTORY)))
        publisher = DirectoryPublisher(source, "demo", confirm_s=60, gather_s=0)
        generation = (await source.page(DirectoryRequest("", 0), 1)).generation
        publisher.follow("box-1", DirectoryRequest(generation, people))
        for box in range(3):
            publisher.follow(f"newcomer-{box}", DirectoryRequest("", box))  # at positions of their own
        order = []
        async with running(publisher.run(platform)), asyncio.timeout(HANG_S):
            async for message in ear.messages():
                box, page = box_from(topic_from(message)), decode_event(message).message(DirectoryPage)
                order.append("change" if box == "box-1" and page.ops else box)
                if len(order) == 5:
                    await source.put([status_of(people)])
                if "change" in order:
                    break
        assert len(order) < 25  # of 40 pages


# All at once


async def test_others_are_served_while_a_box_does_its_worst(tmp_path: Path, broker: Mosquitto) -> None:
    """The short form of `bench/rogue.py`."""
    async with (
        a_platform(tmp_path / "platform", broker.url),
        a_box(tmp_path / "box", link_settings(broker.url)) as box,
    ):
        await box.ledger.append(alarm(0))
        await eventually(box.all_acknowledged)
        async with running(attack(broker.url, "demo", 1, HANG_S)):
            for number in range(1, 6):
                await box.ledger.append(alarm(number))
                await eventually(box.all_acknowledged)


async def test_requests_beyond_the_budget_wait(tmp_path: Path, broker: Mosquitto) -> None:
    async with (
        DirectoryStore.opened(tmp_path / "directory.db") as source,
        Connection.open(Options(BrokerAddress.from_url(broker.url), "platform")) as platform,
        Connection.open(Options(BrokerAddress.from_url(broker.url), "ear")) as ear,
    ):
        await ear.subscribe(Subscription(every_box("demo", Channel.DIRECTORY)))
        publisher = DirectoryPublisher(source, "demo", confirm_s=2)
        publisher.follow("box-1", DirectoryRequest("", 0))
        publisher.follow("rogue", DirectoryRequest("", 0))
        pages = {"box-1": 0, "rogue": 0}
        async with running(publisher.run(platform)), asyncio.timeout(HANG_S):
            async for message in ear.messages():
                box = box_from(topic_from(message))
                pages[box] += 1
                if pages["box-1"] == 2 or pages["rogue"] > 50:  # the confirmation
                    break
                publisher.follow("rogue", DirectoryRequest("", 0))
    assert pages["rogue"] <= 12
