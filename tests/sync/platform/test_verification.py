"""Verification of the records of a box, and requests for missing ones; on both stores."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sync.contract.chain import first_hash, next_hash
from sync.contract.messages import Ack
from sync.contract.records import LARGEST, Gap, RecordId, encode_record
from sync.contract.topics import Channel, Topic
from sync.mqtt.broker_address import BrokerAddress
from sync.mqtt.connection import Connection
from sync.mqtt.events import decode_event
from sync.mqtt.packets import Options, Subscription
from sync.platform.commands.cli import app
from sync.platform.records.gaps import GapRequester, common, without
from sync.platform.records.open_store import open_store
from sync.platform.records.received import ReceivedRecord
from sync.platform.records.store_contract import RecordStore
from sync.platform.records.verification import Proof, State, verify
from tests.limits import HANG_S
from tests.sync.city import Mosquitto, clock, mixed, running

EPOCH = "0123456789abcdef"
NOW = datetime(2022, 4, 1, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def chained(count: int, *, lost: AbstractSet[int] = frozenset(), received: datetime = NOW) -> list[ReceivedRecord]:
    """`count` records of a box with their hashes, without those of numbers `lost`."""
    chain = first_hash("box-1", EPOCH)
    made = []
    for seq, record in enumerate(mixed(count), start=1):
        body = encode_record(record)
        chain = next_hash(chain, seq, record.TYPE, body)
        made.append(ReceivedRecord.read(RecordId("box-1", EPOCH, seq), record.TYPE, NOW, received, body, chain))
    return [each for each in made if each.name.seq not in lost]


TODAY = chained(1)[0].day


def altered(arrivals: list[ReceivedRecord], seq: int, **changes: object) -> list[ReceivedRecord]:
    return [
        ReceivedRecord(**{**{name: getattr(each, name) for name in ReceivedRecord.__slots__}, **changes})
        if each.name.seq == seq
        else each
        for each in arrivals
    ]


@asynccontextmanager
async def holding(records: str, arrivals: list[ReceivedRecord]) -> AsyncIterator[RecordStore]:
    async with open_store(records) as store:
        await store.insert(arrivals)
        yield store


async def proof(records: str, arrivals: list[ReceivedRecord], day: str | None = None) -> Proof:
    async with holding(records, arrivals) as store:
        return await verify(store, "box-1", day)


async def test_a_complete_ledger_is_verified(records: str) -> None:
    arrivals = chained(2500)
    found = await proof(records, arrivals[::-1])
    [epoch] = found.epochs
    assert found.state is State.COMPLETE
    assert (epoch.records, epoch.first, epoch.last, epoch.vouched) == (2500, 1, 2500, False)
    assert arrivals[-1].chain is not None
    assert epoch.head == arrivals[-1].chain.hex()


async def test_the_end_of_a_day_is_confirmed_by_the_next(records: str) -> None:
    everything = chained(30)
    shift = [-DAY, timedelta(0), DAY]
    days = [altered_time(each, NOW + shift[(each.name.seq - 1) // 10]) for each in everything]
    found = await proof(records, days, TODAY)
    [epoch] = found.epochs
    assert (found.state, epoch.first, epoch.last, epoch.records, epoch.vouched) == (State.COMPLETE, 11, 20, 10, True)


async def test_numbers_lost_between_two_days_are_reported(records: str) -> None:
    days = [altered_time(each, NOW - DAY if each.name.seq <= 10 else NOW) for each in chained(20, lost={10, 11})]
    [epoch] = (await proof(records, days, TODAY)).epochs
    assert [(each.first, each.last, each.reason) for each in epoch.missing] == [(10, 11, None)]


def altered_time(arrival: ReceivedRecord, at: datetime) -> ReceivedRecord:
    [changed] = altered([arrival], arrival.name.seq, happened_ms=int(at.timestamp() * 1000))
    return changed


@pytest.mark.parametrize(
    ("change", "broken"),
    [({"body": b"{}"}, [5]), ({"kind": "sentinel.other"}, [5]), ({"chain": bytes(32)}, [5, 6])],
)
async def test_an_altered_record_is_located(records: str, change: dict[str, object], broken: list[int]) -> None:
    found = await proof(records, altered(chained(10), 5, **change))
    assert (found.state, found.epochs[0].broken_at) == (State.BROKEN, broken)


async def test_missing_numbers_are_reported_with_their_reason(records: str) -> None:
    lost = Gap(noted=clock(), lost={"sentinel.passage.decided": 2}, first_seq=4, last_seq=5)
    arrivals = chained(12, lost={4, 5, 8})
    told = ReceivedRecord.read(RecordId("box-1", EPOCH, 13), Gap.TYPE, NOW, NOW, encode_record(lost))
    found = await proof(records, [*arrivals, told])
    [epoch] = found.epochs
    assert found.state is State.INCOMPLETE
    assert [(each.first, each.last) for each in epoch.missing] == [(4, 5), (8, 8)]
    assert [each.reason for each in epoch.missing] == ["given up by the box: 2 sentinel.passage.decided", None]


async def test_a_number_far_ahead_is_one_long_gap(records: str) -> None:
    first, last = chained(2)
    found = await proof(records, [first, replace(last, name=RecordId("box-1", EPOCH, LARGEST))])
    assert [(each.first, each.last) for each in found.epochs[0].missing] == [(2, LARGEST - 1)]
    async with open_store(records) as store:
        assert await store.holes("box-1", EPOCH, 1, LARGEST) == [(2, LARGEST - 1)]


async def test_records_of_an_older_box_are_not_proven(records: str) -> None:
    found = await proof(records, altered(chained(10), 5, chain=None))
    assert (found.state, found.epochs[0].without_hash, found.epochs[0].broken_at) == (State.UNPROVEN, 1, [])
    assert (await proof(records, [], "1970-01-01")).state is None


async def test_the_output_and_the_status_of_verify(tmp_path: Path) -> None:
    records = str(tmp_path / "records.db")
    async with holding(records, chained(10, lost={3})):
        result = await asyncio.to_thread(CliRunner().invoke, app, ["ledger", "verify", "box-1", "--store", records])
        assert (result.exit_code, "missing 3: reason unknown" in result.stdout) == (1, True)
    async with holding(records, chained(10)):
        arguments = ["ledger", "verify", "box-1", TODAY, "--store", records, "--json"]
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert (result.exit_code, json.loads(result.stdout)["state"]) == (0, "complete")
    arguments = ["ledger", "verify", "box-1", "--store", str(tmp_path / "none.db")]
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert (result.exit_code, "no records" in result.stderr) == (1, True)


async def test_missing_numbers_are_requested_from_the_box(records: str, broker: Mosquitto) -> None:
    options, now = (
        Options(BrokerAddress.from_url(broker.url), "box"),
        datetime.now(UTC),
    )  # a box long silent is not asked
    async with holding(records, chained(10, lost={1, 4, 5}, received=now)) as store, Connection.open(options) as box:
        await box.subscribe(Subscription(str(Topic("demo", Channel.ACK, "box-1"))))
        async with (
            Connection.open(Options(BrokerAddress.from_url(broker.url), "platform")) as connection,
            running(GapRequester(store, "demo", interval_s=0.02).serve(connection)),
            asyncio.timeout(HANG_S),
        ):
            async for message in box.messages():
                ack = decode_event(message).message(Ack)
                break
            assert ack == Ack(EPOCH, (), missing=((1, 1), (4, 5)))
            await store.insert(chained(12, received=now))
            while await store.open_streams(0, 1 << 60):
                await asyncio.sleep(0.01)
        [span] = await store.spans("box-1", None)
        assert span.last == 12


async def test_absent_numbers_are_not_requested(records: str, broker: Mosquitto) -> None:
    lost = Gap(noted=clock(), lost={"sentinel.passage.decided": 2}, first_seq=4, last_seq=5)
    now = datetime.now(UTC)
    told = ReceivedRecord.read(RecordId("box-1", EPOCH, 11), Gap.TYPE, NOW, now, encode_record(lost))
    async with (
        holding(records, [*chained(10, lost={4, 5}, received=now), told]) as store,
        Connection.open(Options(BrokerAddress.from_url(broker.url), "platform")) as connection,
        running(GapRequester(store, "demo", interval_s=0.02).serve(connection)),
        asyncio.timeout(HANG_S),
    ):
        while await store.open_streams(0, 1 << 60):
            await asyncio.sleep(0.01)
        assert [(each.first, each.last) for each in await store.absences("box-1", EPOCH)] == [(4, 5)]


_numbers = st.sets(st.integers(1, 30))


def as_ranges(numbers: set[int]) -> list[tuple[int, int]]:
    return [(number, number) for number in sorted(numbers)]


@settings(max_examples=100)
@given(_numbers, st.integers(1, 30), st.integers(0, 10), _numbers)
def test_ranges_subtract_and_meet(numbers: set[int], first: int, more: int, others: set[int]) -> None:
    span = [(first, first + more)]
    within = set(range(first, first + more + 1))

    def flat(ranges: list[tuple[int, int]]) -> set[int]:
        return {number for begin, end in ranges for number in range(begin, end + 1)}

    assert flat(without(span, as_ranges(numbers))) == within - numbers
    assert flat(without(as_ranges(numbers), span)) == numbers - within
    assert flat(common(span, as_ranges(others))) == within & others


def test_a_proof_is_plain_json(tmp_path: Path) -> None:
    found = asyncio.run(proof(str(tmp_path / "records.db"), chained(3)))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Proof) == found
