"""Two devices with copies of one ledger: the platform stores both branches, loses no record and raises an alarm."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge_agent.commands.cli import app
from sync.contract.chain import first_hash, next_hash
from sync.contract.records import AlarmRaised, Record, RecordId, encode_record
from sync.edge.ledger.ledger import Ledger
from sync.edge.ledger.recovery import start_new_epoch
from sync.errors import StoreFailed
from sync.platform.records.forks import runs
from sync.platform.records.open_store import open_store
from sync.platform.records.received import ReceivedRecord, today
from sync.platform.records.store_contract import RecordStore
from sync.platform.records.verification import State, verify
from tests.sync.city import (
    BUDGET_BYTES,
    Mosquitto,
    a_box,
    a_platform,
    alarm,
    eventually,
    link_settings,
    mixed,
    passage,
)
from tests.sync.test_city_link import stats

EPOCH = "0123456789abcdef"
NOW = datetime(2022, 4, 1, 8, 0, tzinfo=UTC)
FORK = 10  # the last number that both devices share


def ledger_of(records: Sequence[Record]) -> list[ReceivedRecord]:
    """The messages of a box with these records."""
    chain, made = first_hash("box-1", EPOCH), []
    for seq, record in enumerate(records, start=1):
        body = encode_record(record)
        chain = next_hash(chain, seq, record.TYPE, body)
        made.append(ReceivedRecord.read(RecordId("box-1", EPOCH, seq), record.TYPE, NOW, NOW, body, chain))
    return made


ORIGINAL = ledger_of(mixed(20))
COPY = ledger_of([*mixed(FORK), *mixed(20, 100)])


async def rivals_in(records: str) -> set[tuple[int, bytes]]:
    """Numbers and bodies of the records stored as a fork."""
    select = "SELECT seq, body FROM rival"
    if records.startswith("postgresql"):
        server = await asyncpg.connect(records)
        found = {(row[0], row[1]) for row in await server.fetch(select)}
        await server.close()
        return found
    with sqlite3.connect(records) as database:
        found = set(database.execute(select).fetchall())
    database.close()
    return found


def bodies(arrivals: Sequence[ReceivedRecord]) -> set[tuple[int, bytes]]:
    return {(each.name.seq, each.body) for each in arrivals}


async def test_the_first_branch_stays_and_the_fork_is_stored_separately(records: str) -> None:
    async with open_store(records) as store:
        assert await store.insert(COPY[:15]) == 15
        assert await store.forks() == []
        assert await store.insert(ORIGINAL) == 0
        assert await store.insert([*ORIGINAL, *COPY[:18]]) == 3  # repeats, and the first branch going on
        [fork] = await store.forks()
        assert (fork.box, fork.epoch, fork.first, fork.records) == ("box-1", EPOCH, FORK + 1, 10)
        assert {(each.seq, each.body) for each in await store.stored("box-1", EPOCH, 1, 99)} == bodies(COPY[:18])
        assert await rivals_in(records) == bodies(ORIGINAL[FORK:])
        totals = await store.totals(today(), 100)
        assert (sum(totals.kinds.values()), totals.duplicates) == (18, 0)
        alarms = [each for each in [*COPY[:18], *ORIGINAL[FORK:]] if each.kind.endswith("alarm.raised")]
        assert len(totals.alarms) == len(alarms)  # those of the other device are not overlooked
        proof = await verify(store, "box-1", None)
        assert proof.state is State.FORKED
        assert any("was the card of this box copied?" in line for line in proof.lines())


async def test_a_fork_within_one_batch_is_detected(records: str) -> None:
    async with open_store(records) as store:
        assert await store.insert([*COPY[:15], *ORIGINAL[:12]]) == 15
        [fork] = await store.forks()
        assert (fork.first, fork.records) == (11, 2)
        assert await rivals_in(records) == bodies(ORIGINAL[FORK:12])


@pytest.mark.parametrize("seed", range(20))
async def test_no_record_is_lost_in_any_order_of_arrival(tmp_path: Path, seed: int) -> None:
    dice = Random(seed)
    sent = [*ORIGINAL, *COPY, *dice.choices([*ORIGINAL, *COPY], k=10)]
    dice.shuffle(sent)
    records = str(tmp_path / "records.db")
    async with open_store(records) as store:
        while sent:
            count = dice.randint(1, 12)
            await store.insert(sent[:count])
            del sent[:count]
        joined = {(each.seq, each.body) for each in await store.stored("box-1", EPOCH, 1, 99)}
        assert joined | await rivals_in(records) == bodies(ORIGINAL) | bodies(COPY)
        assert (await verify(store, "box-1", None)).state in (State.FORKED, State.BROKEN)


@settings(max_examples=200)
@given(st.lists(st.sampled_from([*ORIGINAL, *COPY])))
def test_a_run_is_of_one_branch(arrivals: list[ReceivedRecord]) -> None:
    branches = [{each.name.seq: each.chain for each in branch} for branch in (ORIGINAL, COPY)]
    wanted = {(each.name.seq, each.chain) for each in arrivals}
    covered = set()
    for run in runs(arrivals):
        [branch, *_] = [each for each in branches if each.get(run.last) == bytes.fromhex(run.head or "")]
        covered |= {(seq, branch[seq]) for seq in range(run.first, run.last + 1)}
    assert covered == wanted


async def test_a_cloned_card_raises_an_alarm_and_loses_no_record(tmp_path: Path, broker: Mosquitto) -> None:
    records = tmp_path / "platform" / "records.db"
    original, copy = tmp_path / "original", tmp_path / "copy"
    async with a_platform(tmp_path / "platform", broker.url) as platform:
        async with a_box(original, link_settings(broker.url)) as box:
            await box.ledger.append_all(mixed(10))
            await eventually(box.all_acknowledged)
        shutil.copytree(original, copy)
        async with a_box(copy, link_settings(broker.url), boot_id="copy") as box:
            copied = [*await box.ledger.append_all([passage(n) for n in range(50, 55)])]
            await eventually(box.all_acknowledged)
        async with a_box(original, link_settings(broker.url)) as box:
            await box.ledger.append_all([*(passage(n) for n in range(70, 77)), alarm(77)])
            await eventually(box.all_acknowledged)
            own = {(row.seq, row.body) for row in await box.ledger.recent(100)}
        figures = await stats(platform)
        [fork] = figures["forks"]
        assert (fork["box"], fork["first_seq"]) == ("box-1", copied[0])
        # The alarm is sent before the passages, so it may have been stored before the fork was detected.
        assert figures["boxes"][0]["rivals"] == fork["records"] in (7, 8)
        assert figures["newest_alarms"][0]["subject"] == "passage-77"
        async with open_store(str(records)) as store:
            joined = {(each.seq, each.body) for each in await store.stored("box-1", fork["epoch"], 1, 99)}
        assert own <= joined | await rivals_in(str(records))


async def test_a_new_epoch_resolves_a_fork_and_loses_nothing(tmp_path: Path, broker: Mosquitto) -> None:
    """The clone sent the numbers after the fork first, so all records of the original are stored as a fork."""
    original, copy = tmp_path / "original", tmp_path / "copy"
    async with a_platform(tmp_path / "platform", broker.url):
        async with a_box(original, link_settings(broker.url)) as box:
            await box.ledger.append_all(mixed(10))
            await eventually(box.all_acknowledged)
            forked = box.ledger.epoch
        shutil.copytree(original, copy)
        async with a_box(copy, link_settings(broker.url), boot_id="copy") as box:
            await box.ledger.append_all(mixed(5, 50))
            await eventually(box.all_acknowledged)
        async with Ledger.opened(original / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES) as ledger:
            await ledger.append_all(mixed(7, 70))  # without a link
            own = {(row.seq, row.body) for row in await ledger.recent(100)}
        start_new_epoch(original / "ledger.db")
        async with a_box(original, link_settings(broker.url, health_s=0.1)) as box:
            epoch = box.ledger.epoch
            assert epoch != forked
            assert (await box.ledger.status()).earlier == 7
            await box.ledger.append_all(mixed(20, 100))
            await eventually(box.all_acknowledged)
            async with open_store(str(tmp_path / "platform" / "records.db")) as store:
                await eventually(partial(is_proven, store, epoch))
            [report] = [row.record() for row in await box.ledger.recent(100) if is_of(row.record(), "ledger_renewed")]
            assert isinstance(report, AlarmRaised)
            assert "7 pending records recovered" in report.detail
    records = tmp_path / "platform" / "records.db"
    async with open_store(str(records)) as store:
        joined = {(each.seq, each.body) for each in await store.stored("box-1", forked, 1, 99)}
        assert own <= joined | await rivals_in(str(records))
        proof = await verify(store, "box-1", None)
    assert {each.epoch: each.state for each in proof.epochs} == {forked: State.FORKED, epoch: State.COMPLETE}


async def is_proven(store: RecordStore, epoch: str) -> bool:
    proof = await verify(store, "box-1", None)
    return {each.epoch: each.state for each in proof.epochs}.get(epoch) is State.COMPLETE


def is_of(record: Record, kind: str) -> bool:
    return isinstance(record, AlarmRaised) and record.kind == kind


async def test_acknowledgements_for_a_clone_do_not_affect_recovered_records(tmp_path: Path) -> None:
    """Both devices receive every acknowledgement under their name."""
    original, copy = tmp_path / "original", tmp_path / "copy"
    async with opened(original) as ledger:
        await ledger.append_all(mixed(10))
    shutil.copytree(original, copy)
    async with opened(copy) as ledger:
        await ledger.append_all(mixed(5, 50))
        theirs = await ledger.recent(15)
    async with opened(original) as ledger:
        await ledger.append_all(mixed(5, 70))
        ours = await ledger.recent(15)
    start_new_epoch(original / "ledger.db")
    async with opened(original) as ledger:
        assert await ledger.acknowledge(theirs[0].epoch, [(11, 15)], [theirs[0].chain_hex]) == 0
        assert await ledger.acknowledge(theirs[0].epoch, [(1, 10)], [theirs[5].chain_hex]) == 10  # before the fork
        assert [row.name for row in await ledger.earlier_unacknowledged(99)] == [row.name for row in ours[4::-1]]
        assert await ledger.acknowledge(ours[0].epoch, [(11, 15)], [ours[0].chain_hex]) == 5
        assert (await ledger.status()).earlier == 0


def opened(home: Path) -> AbstractAsyncContextManager[Ledger]:
    return Ledger.opened(home / "ledger.db", box="box-1", budget_bytes=BUDGET_BYTES)


async def test_a_ledger_in_use_cannot_start_a_new_epoch(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await ledger.append_all(mixed(3))
        with pytest.raises(StoreFailed, match="locked"):
            start_new_epoch(tmp_path / "ledger.db")
        assert await ledger.append(passage(4)) == 4
    with pytest.raises(StoreFailed):
        start_new_epoch(tmp_path / "nowhere.db")
    assert not list(tmp_path.glob("*.renewed-*"))


async def test_two_new_epochs_keep_all_pending_records(tmp_path: Path) -> None:
    names = []
    for first in (0, 10):
        async with opened(tmp_path) as ledger:
            await ledger.append_all(mixed(3, first))
            names += [row.name for row in await ledger.recent(99)]
        start_new_epoch(tmp_path / "ledger.db")
    async with opened(tmp_path) as ledger:
        status = await ledger.status()
        assert (status.earlier, status.unacknowledged) == (len(names), len(names) + ledger.last_seq)


def test_the_command_reports_pending_records_and_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "sentinel.toml").write_text(f'[box]\ndata_dir = "{tmp_path}"\n')
    asked = ["ledger", "renew", "--config", str(tmp_path / "sentinel.toml"), "--json"]
    refused = CliRunner().invoke(app, asked)
    assert (refused.exit_code, "Stop the service first" in refused.output) == (1, True)
    asyncio.run(written(tmp_path, 3))
    for answer in ("", "n\n", "\n"):
        declined = CliRunner().invoke(app, asked, input=answer)
        assert (declined.exit_code, declined.stdout) == (1, "")
        assert "3 pending records" in declined.stderr and "Nothing was changed" in declined.stderr
        assert ("--yes" in declined.stderr) is (answer == "")
        assert (tmp_path / "ledger.db").exists() and not list(tmp_path.glob("ledger.db.*"))
    answer = json.loads(CliRunner().invoke(app, [*asked, "--yes"]).stdout)
    assert answer["waiting"] == 3
    assert Path(answer["set_aside"]).is_file()
    assert not (tmp_path / "ledger.db").exists()


async def written(home: Path, count: int) -> None:
    async with opened(home) as ledger:
        await ledger.append_all(mixed(count))
