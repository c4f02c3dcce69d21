"""Box, broker and platform together: no record is lost or duplicated, and the state is visible on both sides."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from sync.contract.channels import CHANNEL_RULES
from sync.contract.envelope import Event
from sync.contract.health import Colour, Freshness, LookupOutcome
from sync.contract.messages import Backlog, DirectoryOp, DirectoryPage, PlatformState, Query
from sync.contract.orders import Command, Desired, OrderBody, Revocation, Withdrawal
from sync.contract.records import RecordId
from sync.contract.topics import Channel, Topic, source_from
from sync.edge.link.sender import SenderSettings
from sync.edge.orders.receiver import OrderHandlers
from sync.errors import LinkLost, UnsafeLink
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.connection import Connection
from sync.mqtt.events import decode_event, publish_event
from sync.mqtt.packets import Message, Options, Properties, Subscription
from sync.platform.directory.publisher import DirectoryPublisher
from sync.platform.directory.store import DirectoryStore
from sync.platform.fleet.box_requests import BoxRequestHandler
from sync.platform.fleet.fleet import Fleet
from sync.platform.fleet.reported_ends import ReportedEnds
from sync.platform.records.open_store import open_store
from sync.platform.service import PlatformService
from tests.limits import HANG_S
from tests.sync.city import (
    COMMUNITY_KEY,
    Box,
    Mosquitto,
    a_box,
    a_platform,
    alarm,
    eventually,
    link_settings,
    mixed,
    mosquitto,
    number,
    passage,
    running,
    signed,
    status_of,
)
from tests.sync.contract.asyncapi import check_against_the_contract

SENT_ONCE = SenderSettings(resend_s=HANG_S, silent_s=HANG_S)


async def stats(platform: PlatformService) -> dict[str, Any]:
    """The metrics of the platform as served to its page."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{platform.http_port}/api/stats") as answer,
    ):
        figures: dict[str, Any] = json.loads(await answer.read())
        return figures


def write_directory(path: Path, *people: tuple[int, str]) -> dict[str, Any]:
    """Write a directory file of `people`; return the settings of a platform that uses it."""
    lines = [
        {"number": number(index), "colour": colour, "as_of": "2022-04-01T08:00:00+08:00", "result": "negative"}
        for index, colour in people
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return {"directory": path, "community_key": COMMUNITY_KEY}


@asynccontextmanager
async def eavesdropping(broker: Mosquitto) -> AsyncIterator[list[Message]]:
    """Every message that passes the broker."""
    heard: list[Message] = []

    async def listen(connection: Connection) -> None:
        async for message in connection.messages():
            heard.append(message)  # noqa: PERF401 - filled while others look

    async with Connection.open(Options(BrokerAddress.from_url(broker.url), "ear")) as connection:
        await connection.subscribe(Subscription("sentinel/v1/#"))
        async with running(listen(connection)):
            yield heard


def channels(heard: list[Message]) -> list[Channel]:
    return [Topic.parse(message.topic).channel for message in heard]


async def settled(platform: PlatformService, box: Box, records: int) -> dict[str, Any]:
    """Metrics after all records are acknowledged; check that each was stored once."""
    await eventually(box.all_acknowledged)
    figures = await stats(platform)
    assert (figures["records"], figures["duplicates"]) == (records, 0)
    return figures


async def test_records_reach_the_platform_once(tmp_path: Path, broker: Mosquitto) -> None:
    async with (
        a_platform(tmp_path / "platform", broker.url) as platform,
        a_box(tmp_path / "box", link_settings(broker.url, sender=SENT_ONCE)) as box,
    ):
        for record in mixed(20):
            await box.ledger.append(record)
        figures = await settled(platform, box, 20)
        assert (figures["passages"], figures["closed"], figures["alarms"], figures["redelivered"]) == (8, 8, 4, 0)
        [seen] = figures["boxes"]
        assert (seen["box"], seen["online"], seen["records"], seen["epoch"]) == ("box-1", True, 20, box.ledger.epoch)
        assert [each["subject"] for each in figures["newest_alarms"]] == [f"passage-{n}" for n in (19, 14, 9, 4)]
        status = box.link.status()
        assert (status.connected, status.platform_online, status.reconnects, status.detail) == (True, True, 0, "")
        assert status.last_ack_age_s is not None


@pytest.mark.parametrize("kill", [False, True])
async def test_a_broker_restart(
    tmp_path: Path, broker: Mosquitto, caplog: pytest.LogCaptureFixture, kill: bool
) -> None:
    caplog.set_level("INFO")
    async with (
        a_platform(tmp_path / "platform", broker.url) as platform,
        a_box(tmp_path / "box", link_settings(broker.url)) as box,
    ):
        for first in range(0, 300, 20):
            await asyncio.gather(*(box.ledger.append(record) for record in mixed(20, first)))
            if first == 100:
                await asyncio.to_thread(broker.stop, kill=kill)
        await eventually(lambda: is_connected(box, False))
        await asyncio.to_thread(broker.start)
        await settled(platform, box, 300)
        assert box.link.status().reconnects >= 1
    link_lines = [line for line in caplog.messages if line.startswith("platform link")]
    assert len([line for line in link_lines if "not connected" in line]) == 1
    assert len([line for line in link_lines if "connected again" in line]) == 1


async def is_connected(box: Box, wanted: bool) -> bool:
    return box.link.status().connected is wanted


async def test_a_platform_restart(tmp_path: Path, broker: Mosquitto) -> None:
    async with a_box(tmp_path / "box", link_settings(broker.url)) as box:
        for first in (0, 100, 200):
            async with a_platform(tmp_path / "platform", broker.url) as platform:
                for record in mixed(50, first):
                    await box.ledger.append(record)
            await eventually(lambda: platform_is_away(box))
            await box.ledger.append_all(mixed(50, first + 50))
        async with a_platform(tmp_path / "platform", broker.url) as platform:
            await settled(platform, box, 300)


async def platform_is_away(box: Box) -> bool:
    return not box.link.status().platform_online


async def test_pending_records_are_sent_as_backlog_after_alarms(tmp_path: Path, broker: Mosquitto) -> None:
    settings = link_settings(broker.url, sender=SENT_ONCE)
    async with eavesdropping(broker) as heard, a_box(tmp_path / "box", settings) as box:
        await box.ledger.append_all([*mixed(330), alarm(1000)])
        async with a_platform(tmp_path / "platform", broker.url) as platform:
            await settled(platform, box, 331)
            await box.ledger.append(passage(2000))
            figures = await settled(platform, box, 332)
            assert figures["redelivered"] == 0
        await eventually(lambda: has_heard(heard, Channel.PASSAGE))
    up = [channel for channel in channels(heard) if channel in (Channel.ALARM, Channel.PASSAGE, Channel.BACKLOG)]
    assert up == [Channel.ALARM] * 67 + [Channel.BACKLOG] * 3 + [Channel.PASSAGE]
    backlogs = [
        decode_event(each).message(Backlog) for each in heard if Topic.parse(each.topic).channel is Channel.BACKLOG
    ]
    assert [len(each.records) for each in backlogs] == [100, 100, 64]


async def test_a_new_passage_is_always_sent_live(tmp_path: Path, broker: Mosquitto) -> None:
    """The passage may be appended between the search for live passages and the search for backlog."""
    async with (
        eavesdropping(broker) as heard,
        a_platform(tmp_path / "platform", broker.url) as platform,
        a_box(tmp_path / "box", link_settings(broker.url, sender=SENT_ONCE)) as box,
    ):
        for first in range(1, 301, 15):
            for n in range(first, first + 15):
                await box.ledger.append(passage(n))
            await eventually(box.all_acknowledged)
        await settled(platform, box, 300)
        await eventually(lambda: has_heard(heard, Channel.PASSAGE))
        assert Channel.BACKLOG not in channels(heard)


async def has_heard(heard: list[Message], channel: Channel) -> bool:
    return channel in channels(heard)


async def test_old_passages_are_sent_as_backlog(tmp_path: Path, broker: Mosquitto) -> None:
    settings = link_settings(broker.url, sender=SenderSettings(live_age_s=-1))
    async with (
        eavesdropping(broker) as heard,
        a_platform(tmp_path / "platform", broker.url) as platform,
        a_box(tmp_path / "box", settings) as box,
    ):
        await box.ledger.append(passage(1))
        await settled(platform, box, 1)
        await eventually(lambda: has_heard(heard, Channel.BACKLOG))
        assert Channel.PASSAGE not in channels(heard)


async def test_puback_does_not_acknowledge_records(tmp_path: Path, broker: Mosquitto) -> None:
    """With a platform that is online but acknowledges nothing, all records stay pending and are sent again."""
    settings = link_settings(broker.url, sender=SenderSettings(resend_s=0.1))
    async with eavesdropping(broker) as heard, a_box(tmp_path / "box", settings) as box:
        async with Connection.open(Options(BrokerAddress.from_url(broker.url), "impostor")) as impostor:
            online = Event.of(PlatformState(online=True), source_from("demo", None))
            await publish_event(impostor, Topic("demo", Channel.PLATFORM), online)
            await box.ledger.append_all([passage(1), alarm(2)])
            await eventually(lambda: sent_thrice(heard))
        assert (await box.ledger.status()).unacknowledged == 2


async def sent_thrice(heard: list[Message]) -> bool:
    return channels(heard).count(Channel.PASSAGE) >= 3 and channels(heard).count(Channel.ALARM) >= 3


async def test_a_repeat_is_ignored_and_counted(tmp_path: Path, broker: Mosquitto) -> None:
    name = RecordId("box-9", "0123456789abcdef", 1)
    async with a_platform(tmp_path / "platform", broker.url) as platform, city_speaker(broker) as connection:
        event = Event.of(passage(1), source_from("demo", "box-9"), event_id=str(name))
        for _ in range(3):
            await publish_event(connection, Topic("demo", Channel.PASSAGE, "box-9"), event)
        await eventually(lambda: redelivered(platform, 2))
        figures = await stats(platform)
        assert (figures["records"], figures["duplicates"]) == (1, 0)


@asynccontextmanager
async def city_speaker(broker: Mosquitto) -> AsyncIterator[Connection]:
    """A connection that is opened after the platform is online."""
    async with Connection.open(Options(BrokerAddress.from_url(broker.url), "speaker")) as connection:
        await connection.subscribe(Subscription(str(Topic("demo", Channel.PLATFORM))))
        while not json.loads((await connection.batch(1))[0].body)["online"]:
            pass
        yield connection


async def redelivered(platform: PlatformService, count: int) -> bool:
    return bool((await stats(platform))["redelivered"] == count)


async def test_a_record_the_platform_cannot_read_is_parked_with_its_reason(tmp_path: Path, broker: Mosquitto) -> None:
    bad = msgspec.structs.replace(passage(2), policy_version="first")
    for live_age_s in (60.0, -1.0):
        async with (
            a_platform(tmp_path / f"platform{live_age_s}", broker.url) as platform,
            a_box(
                tmp_path / f"box{live_age_s}", link_settings(broker.url, sender=SenderSettings(live_age_s=live_age_s))
            ) as box,
        ):
            await box.ledger.append_all([passage(1), bad, passage(3)])
            await settled(platform, box, 2)
            assert (await box.ledger.status()).parked == 1


async def test_a_record_the_broker_refuses_is_parked_with_its_reason(tmp_path: Path) -> None:
    rules = tmp_path / "acl"
    rules.write_text(
        "topic readwrite $share/#\ntopic read #\ntopic write sentinel/v1/demo/box-1/state\n"
        + "".join(
            f"topic write sentinel/v1/demo/{channel}\n"
            for channel in ("platform", "+/ack", "+/health", "+/directory", "+/alarm")
        )
    )
    rules.chmod(0o600)
    with mosquitto(tmp_path / "strict", extra=f"acl_file {rules}\n") as strict:
        async with (
            a_platform(tmp_path / "platform", strict.url) as platform,
            a_box(tmp_path / "box", link_settings(strict.url)) as box,
        ):
            await box.ledger.append_all([passage(1), alarm(2)])
            await settled(platform, box, 1)
            assert (await box.ledger.status()).parked == 1


async def test_a_box_can_only_write_its_own_records(tmp_path: Path, broker: Mosquitto) -> None:
    name = RecordId("box-2", "0123456789abcdef", 1)
    query = Event.of(Query("0" * 64), source_from("demo", "box-1"))
    async with (
        a_platform(tmp_path / "platform", broker.url) as platform,
        city_speaker(broker) as connection,
        eavesdropping(broker) as heard,
    ):
        event = Event.of(passage(1), source_from("demo", "box-1"), event_id=str(name))
        await publish_event(connection, Topic("demo", Channel.PASSAGE, "box-1"), event)
        elsewhere = Properties("application/json", query.user_properties(), "sentinel/v1/demo/box-2/answer", b"1")
        await connection.publish("sentinel/v1/demo/box-1/query", query.body, properties=elsewhere)
        await connection.publish("sentinel/v1/demo/box-1/passage", b"no event at all")
        honest = Event.of(passage(2), source_from("demo", "box-1"), event_id=str(RecordId("box-1", name.epoch, 1)))
        await publish_event(connection, Topic("demo", Channel.PASSAGE, "box-1"), honest)
        await eventually(lambda: stored(platform, 1))
        assert (await stats(platform))["boxes"][0]["box"] == "box-1"
        assert Channel.ANSWER not in channels(heard)


async def stored(platform: PlatformService, records: int) -> bool:
    return bool((await stats(platform))["records"] == records)


async def test_the_directory_is_replicated_and_queries_are_answered(tmp_path: Path, broker: Mosquitto) -> None:
    known = write_directory(tmp_path / "people.jsonl", (1, "green"), (2, "yellow"))
    async with a_box(tmp_path / "box", link_settings(broker.url)) as box:
        nobody = await box.directory.lookup(status_of(1).person_key, budget_s=0.3)
        assert (nobody.outcome, nobody.freshness) == (LookupOutcome.FAILED, Freshness.EXPIRED)
        async with a_platform(tmp_path / "platform", broker.url, **known):
            await eventually(lambda: is_fresh(box))
            yellow = await box.directory.lookup(status_of(2).person_key, budget_s=0.3)
            assert yellow.status is not None
            assert (yellow.status.colour, yellow.source) == (Colour.YELLOW, "replica")
            stranger = await box.directory.lookup(status_of(9).person_key, budget_s=5)
            assert (stranger.outcome, stranger.source) == (LookupOutcome.NOT_FOUND, "platform")
            answer = await box.link.query(status_of(1).person_key, 5)
            assert answer.status is not None
            assert answer.status.colour is Colour.GREEN
        await eventually(lambda: platform_is_away(box))
        with pytest.raises(LinkLost):
            await box.link.query(status_of(1).person_key, 5)
        changed = write_directory(tmp_path / "people.jsonl", (1, "red"), (3, "green"))
        async with a_platform(tmp_path / "platform", broker.url, **changed):
            await eventually(lambda: has_cursor(box, 4))
            red = await box.directory.lookup(status_of(1).person_key, budget_s=0.3)
            assert red.status is not None
            assert red.status.colour is Colour.RED


async def test_a_change_of_the_directory_is_pushed_and_silence_is_confirmed(tmp_path: Path, broker: Mosquitto) -> None:
    ready = asyncio.Event()
    ready.set()
    async with (
        DirectoryStore.opened(tmp_path / "source.db") as source,
        open_store(str(tmp_path / "records.db")) as store,
        Connection.open(Options(BrokerAddress.from_url(broker.url), "desk")) as connection,
        a_box(tmp_path / "box", link_settings(broker.url)) as box,
        eavesdropping(broker) as heard,
    ):
        publisher = DirectoryPublisher(source, "demo", confirm_s=0.05)
        handler = BoxRequestHandler(Fleet(), source, publisher, "demo", ready, ends=ReportedEnds(store))
        async with running(handler.serve(connection)):
            await eventually(lambda: is_fresh(box))
            await source.put([status_of(1)])
            await eventually(lambda: has_cursor(box, 1))
            await source.remove([status_of(1).person_key])
            await eventually(lambda: has_cursor(box, 2))
            heard.clear()
            await eventually(lambda: has_heard(heard, Channel.DIRECTORY))
    page = decode_event(next(each for each in heard if "directory" in each.topic)).message(DirectoryPage)
    assert (page.after, page.ops, page.checkpoint is not None) == (2, (), True)


async def test_a_directory_page_tells_the_time_of_the_platform(tmp_path: Path, broker: Mosquitto) -> None:
    times: list[datetime] = []
    async with (
        a_platform(tmp_path / "platform", broker.url),
        a_box(tmp_path / "box", link_settings(broker.url), on_platform_time=times.append) as box,
    ):
        await eventually(lambda: is_fresh(box))
    assert times
    assert abs((times[-1] - datetime.now(UTC)).total_seconds()) < HANG_S


async def is_fresh(box: Box) -> bool:
    return box.directory.freshness()[0] is Freshness.FRESH


async def has_cursor(box: Box, cursor: int) -> bool:
    return box.directory.cursor == cursor


async def test_the_platform_sees_a_box_going_offline(tmp_path: Path, broker: Mosquitto) -> None:
    async with a_platform(tmp_path / "platform", broker.url) as platform:
        async with a_box(tmp_path / "box", link_settings(broker.url)):
            await eventually(lambda: online_boxes(platform, ["box-1"]))
        await eventually(lambda: online_boxes(platform, []))
        [box] = (await stats(platform))["boxes"]
        assert (box["box"], box["online"]) == ("box-1", False)


async def online_boxes(platform: PlatformService, names: list[str]) -> bool:
    return [box["box"] for box in (await stats(platform))["boxes"] if box["online"]] == names


RUNNING_BOX = """
import asyncio, sys
from pathlib import Path
from tests.sync.city import a_box, link_settings, mixed

async def main(home: str, url: str) -> None:
    async with a_box(Path(home), link_settings(url, will_delay_s=0)) as box:
        first = box.ledger.last_seq
        while True:
            for record in mixed(5, first):
                print(await box.ledger.append(record), flush=True)
            first += 5

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_killed_box_loses_and_duplicates_nothing(tmp_path: Path, broker: Mosquitto) -> None:
    async with a_platform(tmp_path / "platform", broker.url) as platform:
        returned: set[int] = set()
        for _ in range(2):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", RUNNING_BOX, str(tmp_path / "box"), broker.url),
                stdout=asyncio.subprocess.PIPE,
                cwd=Path(__file__).parents[2],
            )
            assert process.stdout is not None
            returned |= {int(await process.stdout.readline()) for _ in range(60)}
            await eventually(lambda: online_boxes(platform, ["box-1"]))
            os.kill(process.pid, signal.SIGKILL)
            returned |= {int(line) for line in (await process.stdout.read()).split(b"\n")[:-1]}
            await process.wait()
        await eventually(lambda: online_boxes(platform, []))  # by its will
        async with a_box(tmp_path / "box", link_settings(broker.url)) as box:
            figures = await settled(platform, box, box.ledger.last_seq)
            assert returned <= set(range(1, box.ledger.last_seq + 1))
            assert figures["passages"] + figures["closed"] + figures["alarms"] == box.ledger.last_seq


async def test_two_epochs_of_one_box_are_separate(tmp_path: Path, broker: Mosquitto) -> None:
    async with a_platform(tmp_path / "platform", broker.url) as platform:
        for epoch in (1, 2):
            async with a_box(tmp_path / f"disk{epoch}", link_settings(broker.url)) as box:
                await box.ledger.append_all(mixed(10, 100 * epoch))
                await settled(platform, box, 10 * epoch)


async def test_unsafe_settings_are_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UnsafeLink, match="Plain MQTT"):
        async with a_box(tmp_path, link_settings("mqtt://city.example:1883")):
            pass
    with pytest.raises(ValueError, match="name in a topic"):
        link_settings("mqtt://127.0.0.1", box="Box 1")


async def test_every_message_on_the_wire_satisfies_the_contract(tmp_path: Path, broker: Mosquitto) -> None:
    known = write_directory(tmp_path / "people.jsonl", (1, "green"))
    async with eavesdropping(broker) as heard:
        async with a_box(tmp_path / "box", link_settings(broker.url), handlers=OrderHandlers(not_needed)) as box:
            await box.ledger.append_all(mixed(60))
            async with a_platform(tmp_path / "platform", broker.url, **known) as platform:
                await order_everything(broker)
                await settled(platform, box, 60)
                await box.ledger.append(passage(1000))
                await eventually(lambda: is_fresh(box))
                await box.link.query(status_of(1).person_key, 5)
        await eventually(lambda: all_heard(heard, set(CHANNEL_RULES)))
        for message in heard:
            check_against_the_contract(message)
    assert not any(status_of(1).person_key in message.topic for message in heard)


async def not_needed(_desired: Desired) -> bool:
    return False


async def order_everything(broker: Mosquitto) -> None:
    """One order on each signed channel."""
    revoked = Revocation("g", (DirectoryOp(1, status_of(2).person_key, msgspec.Raw(b"null")),))
    orders: list[tuple[OrderBody, Topic]] = [
        (Desired(), Topic("demo", Channel.DESIRED, "box-1")),
        (Command(), Topic("demo", Channel.COMMAND, "box-1", "status")),
        (revoked, Topic("demo", Channel.REVOCATION)),
        (Withdrawal("b-1"), Topic("demo", Channel.BROADCAST)),
    ]
    async with Connection.open(Options(BrokerAddress.from_url(broker.url), "headquarters")) as connection:
        for body, topic in orders:
            await publish_event(connection, topic, Event.of(signed(body, topic), source_from("demo", None)))


async def all_heard(heard: list[Message], wanted: set[Channel]) -> bool:
    return set(channels(heard)) == wanted
