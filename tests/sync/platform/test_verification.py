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
from sync.platform.records.store_contract import RecordStore, ReportedEnd
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


def end_of(arrivals: list[ReceivedRecord], *waiting: tuple[int, int], said: datetime = NOW) -> ReportedEnd:
    """What the box reports of its epoch that ends with the last of `arrivals`."""
    last = arrivals[-1]
    return ReportedEnd("box-1", EPOCH, last.name.seq, last.chain, waiting, int(said.timestamp() * 1000))


@asynccontextmanager
async def holding(records: str, arrivals: list[ReceivedRecord], *ends: ReportedEnd) -> AsyncIterator[RecordStore]:
    async with open_store(records) as store:
        await store.insert(arrivals)
        await store.note_ends(ends)
        yield store


async def proof(
    records: str, arrivals: list[ReceivedRecord], day: str | None = None, *, ends: tuple[ReportedEnd, ...] = ()
) -> Proof:
    async with holding(records, arrivals, *ends) as store:
        return await verify(store, "box-1", day)


async def test_a_complete_ledger_is_verified(records: str) -> None:
    arrivals = chained(2500)
    found = await proof(records, arrivals[::-1], ends=(end_of(arrivals),))
    [epoch] = found.epochs
    assert found.state is State.COMPLETE
    assert (epoch.records, epoch.first, epoch.last, epoch.confirmed) == (2500, 1, 2500, True)
    assert "end of chain confirmed by the report of the box at 2022-04-01 08:00:00 UTC" in "\n".join(found.lines())
    assert arrivals[-1].chain is not None
    assert epoch.head == arrivals[-1].chain.hex()


async def test_records_without_a_confirmed_end_are_not_called_complete(records: str) -> None:
    """The box never reported, reported before its last records, or its file was damaged."""
    arrivals = chained(20)
    unsure = replace(end_of(arrivals), head=None)
    for ends in ((), (end_of(arrivals[:18]),), (unsure,)):
        found = await proof(records, arrivals, ends=ends)
        assert (found.state, found.epochs[0].confirmed) == (State.OPEN, False)
    assert "the box last reported where this epoch ends at 2022-04-01" in "\n".join(found.lines())


async def test_the_last_report_of_the_box_shows_what_waits_and_what_is_missing(records: str) -> None:
    """Of 60 records 1 to 20 and 31 are stored; 41 to 50 wait on the box, the box gave up 51 and 52."""
    everything = chained(60)
    gap = Gap(noted=clock(), lost={"sentinel.passage.decided": 2}, first_seq=51, last_seq=52, epoch=EPOCH)
    told = ReceivedRecord.read(RecordId("box-1", "f" * 16, 1), Gap.TYPE, NOW, NOW, encode_record(gap))
    stored = [each for each in everything if each.name.seq <= 20 or each.name.seq == 31]
    for day in (None, TODAY):
        found = await proof(records, [*stored, told], day, ends=(end_of(everything, (41, 50)),))
        [epoch] = [each for each in found.epochs if each.epoch == EPOCH]
        assert epoch.state is State.INCOMPLETE
        assert [(each.first, each.last, each.why.value) for each in epoch.missing] == [
            (21, 30, "unknown"),
            (32, 40, "unknown"),
            (41, 50, "waiting"),
            (51, 52, "lost"),
            (53, 60, "unknown"),
        ]
    assert "waiting on the box, by its last report: 41 to 50" in "\n".join(found.lines())


@pytest.mark.parametrize("held", [(5, 30), (1, 30), (30, 30)])
async def test_a_box_that_is_behind_is_waiting_not_incomplete(records: str, held: tuple[int, int]) -> None:
    everything = chained(30)
    stored = [each for each in everything if not held[0] <= each.name.seq <= held[1]]
    found = await proof(records, stored, ends=(end_of(everything, held),))
    assert found.state is State.WAITING
    assert [(each.first, each.last) for each in found.epochs[0].missing] == [held]


async def test_an_epoch_of_which_nothing_is_stored_is_missing(records: str) -> None:
    other = ReportedEnd("box-1", "a" * 16, 7, bytes(32), (), 0)
    arrivals = chained(5)
    found = await proof(records, arrivals, ends=(end_of(arrivals), other))
    assert {each.epoch: each.state.value for each in found.epochs} == {EPOCH: "complete", "a" * 16: "incomplete"}
    assert found.state is State.INCOMPLETE


async def test_a_rewritten_chain_differs_from_the_end_that_the_box_reported(records: str) -> None:
    """Who rewrites every record and every hash at the platform does not know the hash that the box reports."""
    arrivals = chained(10)
    found = await proof(records, arrivals, ends=(replace(end_of(arrivals), head=bytes(32)),))
    assert (found.state, found.epochs[0].broken_at) == (State.BROKEN, [10])


async def test_the_newest_report_replaces_the_one_before_and_few_epochs_stay(records: str) -> None:
    arrivals = chained(10)
    async with holding(records, arrivals, end_of(arrivals[:4], (2, 3))) as store:
        await store.note_ends([end_of(arrivals, said=NOW + DAY)])
        [end] = await store.ends("box-1")
        assert (end.last_seq, end.waiting, end.head) == (10, (), arrivals[-1].chain)
        for number in range(60):
            said_ms = int((NOW + 2 * DAY).timestamp() * 1000) + number
            await store.note_ends([ReportedEnd("box-1", f"{number:016x}", 3, None, (), said_ms)])
        assert [end.epoch for end in await store.ends("box-1")] == [f"{number:016x}" for number in range(28, 60)]
        assert len(await store.open_streams(0, 1 << 60)) == 32 + 1  # what is stored stays
        totals = await store.totals(TODAY, 0)
        assert totals.boxes["box-1"][0] == 10


async def test_the_end_of_a_day_is_confirmed_by_the_next(records: str) -> None:
    everything = chained(30)
    shift = [-DAY, timedelta(0), DAY]
    days = [altered_time(each, NOW + shift[(each.name.seq - 1) // 10]) for each in everything]
    found = await proof(records, days, TODAY)
    [epoch] = found.epochs
    assert (found.state, epoch.first, epoch.last, epoch.records, epoch.confirmed) == (State.COMPLETE, 11, 20, 10, True)


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
        result = await asyncio.to_thread(CliRunner().invoke, app, ["ledger", "verify", "box-1", "--store", records])
        assert (result.exit_code, "end of chain not confirmed" in result.stdout) == (1, True)
    async with holding(records, chained(10), end_of(chained(10))):
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


async def test_numbers_that_only_the_box_knows_of_are_requested_and_waiting_ones_are_not(
    records: str, broker: Mosquitto
) -> None:
    """The platform was restored from a copy that ends with 20 while the box, idle, had delivered 50."""
    everything, now = chained(60, received=NOW), datetime.now(UTC)
    async with (
        holding(records, everything[:20], end_of(everything, (51, 60), said=now)) as store,
        Connection.open(Options(BrokerAddress.from_url(broker.url), "box")) as box,
    ):
        await box.subscribe(Subscription(str(Topic("demo", Channel.ACK, "box-1"))))
        async with (
            Connection.open(Options(BrokerAddress.from_url(broker.url), "platform")) as connection,
            running(GapRequester(store, "demo", interval_s=0.02).serve(connection)),
            asyncio.timeout(HANG_S),
        ):
            async for message in box.messages():
                assert decode_event(message).message(Ack) == Ack(EPOCH, (), missing=((21, 50),))
                break


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
