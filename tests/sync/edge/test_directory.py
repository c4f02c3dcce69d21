"""The replica equals the directory of the platform at every checkpoint, and reports its age."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from sync.contract.health import Colour, Freshness, HealthStatus, Lookup, LookupOutcome
from sync.contract.messages import DirectoryCheckpoint, DirectoryOp, DirectoryPage, DirectoryRequest, QueryAnswer
from sync.contract.orders import Revocation
from sync.contract.records import Clock
from sync.edge.directory.directory import NEVER_S, Directory, freshness_from
from sync.errors import BadMessage, LinkLost, NoAnswer
from sync.platform.directory.store import DirectoryStore
from tests.leftovers import quick_folder
from tests.sync.city import status_of


class ManualClock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def fetch(source: DirectoryStore, directory: Directory) -> int:
    """Transfer pages until a checkpoint; return how many."""
    request = directory.request()
    for count in range(1, 100):
        page = await source.page(request)
        if not await directory.take(page):
            request = directory.request()
        elif page.checkpoint is not None:
            return count
        else:
            request = DirectoryRequest(page.generation, page.ops[-1].op)
    raise AssertionError("no checkpoint in 100 pages")


async def known(directory: Directory, index: int) -> HealthStatus | None:
    """The status of a person in the replica, without its version."""
    found = await directory.lookup(status_of(index).person_key, budget_s=0.1)
    return msgspec.structs.replace(found.status, version=0) if found.status else None


async def test_a_full_copy_then_changes_then_tombstones(tmp_path: Path) -> None:
    async with (
        DirectoryStore.opened(tmp_path / "source.db") as source,
        Directory.opened(tmp_path / "replica.db") as directory,
    ):
        people = [status_of(index) for index in range(1200)]
        assert await source.put(people) == 1200
        assert await source.put(people) == 0
        assert await fetch(source, directory) == 3
        assert await known(directory, 777) == people[777]
        yellow = status_of(777, colour=Colour.YELLOW)
        assert await source.put([yellow]) == 1
        assert await source.remove([status_of(3).person_key]) == 1
        assert await fetch(source, directory) == 1
        assert await known(directory, 777) == yellow
        assert await known(directory, 3) is None
        assert directory.cursor == source.last_op == 1202


async def test_pages_apply_only_with_their_checkpoint(tmp_path: Path) -> None:
    async with (
        DirectoryStore.opened(tmp_path / "source.db") as source,
        Directory.opened(tmp_path / "replica.db") as directory,
    ):
        await source.put([status_of(index) for index in range(600)])
        first = await source.page(directory.request())
        assert first.checkpoint is None
        assert await directory.take(first)
        assert await known(directory, 1) is None
        assert (directory.cursor, directory.freshness()[0]) == (0, Freshness.EXPIRED)
    async with (
        DirectoryStore.opened(tmp_path / "source.db") as source,
        Directory.opened(tmp_path / "replica.db") as directory,
    ):
        assert not await directory.take(await source.page(DirectoryRequest(first.generation, 500)))
        assert await fetch(source, directory) == 2
        assert await known(directory, 1) == status_of(1)


async def test_a_checksum_mismatch_requests_a_copy_and_keeps_the_old_rows(tmp_path: Path) -> None:
    async with (
        DirectoryStore.opened(tmp_path / "source.db") as source,
        Directory.opened(tmp_path / "replica.db") as directory,
    ):
        await source.put([status_of(1), status_of(2)])
        await fetch(source, directory)
        await source.put([status_of(1, colour=Colour.RED)])
        page = await source.page(directory.request())
        [op] = page.ops
        forged = msgspec.Raw(bytes(op.status).replace(b"red", b"green"))
        spoilt = msgspec.structs.replace(page, ops=(DirectoryOp(op.op, op.person_key, forged),))
        assert not await directory.take(spoilt)
        assert directory.request().cursor == 0
        assert await known(directory, 1) == status_of(1)
        await fetch(source, directory)
        assert await known(directory, 1) == status_of(1, colour=Colour.RED)


async def test_a_page_that_does_not_continue_the_run_is_rejected(tmp_path: Path) -> None:
    async with (
        DirectoryStore.opened(tmp_path / "source.db") as source,
        Directory.opened(tmp_path / "replica.db") as directory,
    ):
        await source.put([status_of(1)])
        await fetch(source, directory)
        at = directory.request()
        await source.put([status_of(2)])
        missed = await source.page(at)
        await source.put([status_of(3)])
        later = await source.page(DirectoryRequest(at.generation, 2))
        assert not await directory.take(later)
        assert directory.request() == at
        assert await directory.take(missed)
        assert await directory.take(later)
        assert not await directory.take(later)  # the same again
        assert await fetch(source, directory) == 1
        assert await known(directory, 3) == status_of(3)


@pytest.mark.parametrize("reason", ["purged", "another directory", "ahead"])
async def test_an_unknown_cursor_starts_a_full_copy(tmp_path: Path, reason: str) -> None:
    async with (
        DirectoryStore.opened(tmp_path / "source.db") as source,
        DirectoryStore.opened(tmp_path / "other.db") as other,
        Directory.opened(tmp_path / "replica.db") as directory,
    ):
        await source.put([status_of(1), status_of(2)])
        await fetch(source, directory)
        serving = source
        if reason == "purged":
            await source.remove([status_of(1).person_key])
            assert await source.purge() == 1
        elif reason == "another directory":
            await other.put([status_of(2)])
            serving = other
        else:
            await directory.take(await ahead(source, directory))
        refused = await serving.page(directory.request())
        assert refused.start_again
        assert not await directory.take(refused)
        assert directory.request() == DirectoryRequest("", 0, packed=True)
        assert await known(directory, 2) == status_of(2)
        await fetch(serving, directory)
        assert await known(directory, 1) == (status_of(1) if reason == "ahead" else None)


async def ahead(source: DirectoryStore, directory: Directory) -> DirectoryPage:
    """A valid empty page of a source with more operations than the current one."""
    page = await source.page(directory.request())
    assert page.checkpoint is not None
    checkpoint = DirectoryCheckpoint(page.checkpoint.op + 5, page.checkpoint.rows, page.checkpoint.checksum)
    return msgspec.structs.replace(page, checkpoint=checkpoint)


def test_ages() -> None:
    limits = {
        0.0: "fresh",
        60.0: "fresh",
        60.1: "aging",
        900.0: "aging",
        900.1: "stale",
        86400.0: "stale",
        86401.0: "expired",
    }
    assert {age_s: freshness_from(age_s).value for age_s in limits} == limits


async def test_freshness_runs_from_the_last_confirmation(tmp_path: Path) -> None:
    clock = ManualClock()
    async with DirectoryStore.opened(tmp_path / "source.db") as source:
        async with Directory.opened(tmp_path / "replica.db", now_s=clock) as directory:
            freshness, age_s = directory.freshness()
            assert (freshness, age_s >= NEVER_S) == (Freshness.EXPIRED, True)
            await source.put([status_of(1)])
            await fetch(source, directory)
            assert directory.freshness() == (Freshness.FRESH, 0.0)
            clock.now_s += 61
            found = await directory.lookup(status_of(1).person_key, budget_s=0.1)
            assert (found.freshness, found.age_s, found.source) == (Freshness.AGING, 61.0, "replica")
            await fetch(source, directory)  # an empty page with the same checkpoint confirms
            assert directory.freshness() == (Freshness.FRESH, 0.0)
        async with Directory.opened(tmp_path / "replica.db", now_s=clock) as directory:
            freshness, age_s = directory.freshness()
            assert freshness is Freshness.FRESH
            assert 0 <= age_s < 60


START = Clock(datetime(2022, 4, 1, 8, tzinfo=UTC), "first boot", 60_000, in_sync=True, error_ms=500)


def later(hours: float, *, shown: float | None = None, error_ms: int | None = 500, boot: str = "second boot") -> Clock:
    """`hours` after START by a clock that shows `shown` hours after it."""
    wall = START.wall + timedelta(hours=hours if shown is None else shown)
    running_ms = START.monotonic_ms + int(hours * 3_600_000) if boot == START.boot_id else 90_000
    return Clock(wall, boot, running_ms, in_sync=error_ms is not None, error_ms=error_ms)


@pytest.mark.parametrize(
    ("now", "freshness"),
    [
        (later(72, shown=0.001, error_ms=None), Freshness.EXPIRED),  # off for three days, and the clock stood still
        (later(0.001, error_ms=None), Freshness.EXPIRED),  # the same, as far as the box can know
        (later(72, shown=-5), Freshness.EXPIRED),  # before the confirmation, although in sync
        (later(72), Freshness.EXPIRED),
        (later(0.001), Freshness.FRESH),
        (later(0.001, error_ms=120_000), Freshness.AGING),  # an error that counts
        (later(0.001, shown=2, error_ms=None, boot=START.boot_id), Freshness.FRESH),  # no clock is needed in one boot
        (later(72, shown=0.001, boot=START.boot_id), Freshness.EXPIRED),
    ],
)
async def test_the_age_after_a_restart_counts_the_worst(tmp_path: Path, now: Clock, freshness: Freshness) -> None:
    async with DirectoryStore.opened(tmp_path / "source.db") as source:
        await source.put([status_of(1)])
        async with Directory.opened(tmp_path / "replica.db", clock=lambda: START) as directory:
            await fetch(source, directory)
        async with Directory.opened(tmp_path / "replica.db", clock=lambda: now) as directory:
            assert directory.freshness()[0] is freshness
            found = await directory.lookup(status_of(1).person_key, budget_s=0.1)
            assert found.freshness is freshness
            await fetch(source, directory)
            assert directory.freshness()[0] is Freshness.FRESH


async def test_a_replica_confirmed_by_an_unknown_clock_is_as_old_as_it_may_be(tmp_path: Path) -> None:
    """The clock was three days ahead when the replica was confirmed; now it is in sync."""
    ahead = msgspec.structs.replace(START, wall=START.wall + timedelta(days=3), in_sync=False, error_ms=None)
    async with DirectoryStore.opened(tmp_path / "source.db") as source:
        await source.put([status_of(1)])
        async with Directory.opened(tmp_path / "replica.db", clock=lambda: ahead) as directory:
            await fetch(source, directory)
        async with Directory.opened(tmp_path / "replica.db", clock=lambda: later(72)) as directory:
            assert directory.freshness()[0] is Freshness.EXPIRED
            assert await directory.forget(3600.0) == 0  # an unknown age deletes nothing


async def test_a_clock_that_is_confirmed_later_makes_the_age_known(tmp_path: Path) -> None:
    now = [later(0.005, error_ms=None), later(0.005)]
    async with DirectoryStore.opened(tmp_path / "source.db") as source:
        await source.put([status_of(1)])
        async with Directory.opened(tmp_path / "replica.db", clock=lambda: START) as directory:
            await fetch(source, directory)
        async with Directory.opened(tmp_path / "replica.db", clock=lambda: now[0]) as directory:
            assert directory.freshness()[0] is Freshness.EXPIRED
            del now[0]
            assert directory.freshness()[0] is Freshness.FRESH


async def test_a_replica_of_an_older_agent_is_of_unknown_age(tmp_path: Path) -> None:
    async with DirectoryStore.opened(tmp_path / "source.db") as source:
        await source.put([status_of(1)])
        async with Directory.opened(tmp_path / "replica.db", clock=lambda: START) as directory:
            await fetch(source, directory)
            body = msgspec.json.decode(
                (await directory._writer.run(lambda db: db.conn.execute("SELECT body FROM position").fetchone()))[0]
            )
            old = {**body, "confirmed_ms": int(START.wall.timestamp() * 1000)}
            del old["confirmed"]
            await directory._writer.write(
                lambda db: db.conn.execute("UPDATE position SET body = ?", (msgspec.json.encode(old),))
            )
        async with Directory.opened(tmp_path / "replica.db", clock=lambda: later(0.001)) as directory:
            assert directory.freshness()[0] is Freshness.EXPIRED
            assert await known(directory, 1) is not None


async def test_a_person_outside_the_replica_is_queried_at_the_platform(tmp_path: Path) -> None:
    asked: list[tuple[str, float]] = []
    answers: list[QueryAnswer | Exception] = [
        QueryAnswer(LookupOutcome.FOUND, status_of(5)),
        QueryAnswer(LookupOutcome.NOT_FOUND),
        NoAnswer("no answer"),
        LinkLost("no link"),
        BadMessage("about another person"),
    ]

    async def ask(person_key: str, budget_s: float) -> QueryAnswer:
        asked.append((person_key, budget_s))
        answer = answers[len(asked) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with Directory.opened(tmp_path / "replica.db") as directory:

        async def lookup() -> Lookup:
            return await directory.lookup(status_of(5).person_key, budget_s=0.3)

        assert (await lookup()).outcome is LookupOutcome.FAILED  # nobody to ask yet
        directory.ask = ask
        found = await lookup()
        assert (found.outcome, found.status, found.source) == (LookupOutcome.FOUND, status_of(5), "platform")
        assert (found.freshness, found.age_s) == (Freshness.FRESH, 0.0)
        outcomes = [(await lookup()).outcome.value for _ in range(4)]
        assert outcomes == ["not_found", "timed_out", "failed", "failed"]
        assert asked == [(status_of(5).person_key, 0.3)] * 5


def revoked(source_generation: str, *statuses: HealthStatus | str) -> Revocation:
    """A revocation of statuses with their versions as operations, or of a deleted person with operation 900."""
    ops = [
        DirectoryOp(900, status, msgspec.Raw(b"null"))
        if isinstance(status, str)
        else DirectoryOp(status.version, status.person_key, msgspec.Raw(msgspec.json.encode(status)))
        for status in statuses
    ]
    return Revocation(source_generation, tuple(ops))


async def test_a_revocation_applies_until_a_checkpoint_contains_it(tmp_path: Path) -> None:
    async with DirectoryStore.opened(tmp_path / "source.db") as source:
        async with Directory.opened(tmp_path / "replica.db") as directory:
            await source.put([status_of(1), status_of(2)])
            await fetch(source, directory)
            generation = directory.request().generation
            red = status_of(1, colour=Colour.RED, version=3)
            await directory.revoke(revoked(generation, red, status_of(2).person_key))
            assert await known(directory, 1) == status_of(1, colour=Colour.RED)
            assert await known(directory, 2) is None
            await fetch(source, directory)  # the page that holds it has not come yet
            assert await known(directory, 1) == status_of(1, colour=Colour.RED)
            await directory.revoke(revoked(generation, status_of(1, version=2)))  # an older one changes nothing
            assert await known(directory, 1) == status_of(1, colour=Colour.RED)
        async with Directory.opened(tmp_path / "replica.db") as directory:
            assert await known(directory, 1) == status_of(1, colour=Colour.RED)
            await source.put([status_of(1, colour=Colour.RED)])
            await source.put([status_of(1, colour=Colour.YELLOW)])
            await fetch(source, directory)
            assert await known(directory, 1) == status_of(1, colour=Colour.YELLOW)
            await directory.revoke(revoked(generation, red))  # the replica holds it already
            assert await known(directory, 1) == status_of(1, colour=Colour.YELLOW)


async def test_a_revocation_of_a_replaced_generation_is_dropped(tmp_path: Path) -> None:
    async with (
        DirectoryStore.opened(tmp_path / "source.db") as source,
        DirectoryStore.opened(tmp_path / "other.db") as other,
        Directory.opened(tmp_path / "replica.db") as directory,
    ):
        await source.put([status_of(1)])
        await other.put([status_of(1)])
        await fetch(source, directory)
        red = status_of(1, colour=Colour.RED, version=50)
        await directory.revoke(revoked(directory.request().generation, red))
        await fetch(other, directory)
        assert await known(directory, 1) == status_of(1)
        await directory.revoke(revoked("one that comes", red))
        await fetch(other, directory)
        assert await known(directory, 1) == status_of(1, colour=Colour.RED)


@pytest.mark.parametrize("seen", [True, False], ids=["generation known", "generation never seen"])
@pytest.mark.parametrize("restarts", [False, True], ids=["running", "after a restart"])
async def test_a_late_revocation_of_an_old_generation_ends_with_the_next_checkpoints(
    tmp_path: Path, seen: bool, restarts: bool
) -> None:
    async with (
        DirectoryStore.opened(tmp_path / "source.db") as source,
        DirectoryStore.opened(tmp_path / "other.db") as other,
    ):
        async with Directory.opened(tmp_path / "replica.db") as directory:
            await source.put([status_of(1)])
            await other.put([status_of(1)])
            if seen:
                await fetch(source, directory)
            await fetch(other, directory)
            old = (await source.page(DirectoryRequest("", 0))).generation
            await directory.revoke(revoked(old, status_of(1, colour=Colour.RED, version=50)))
            assert await known(directory, 1) == status_of(1, colour=Colour.RED)  # until the directory is confirmed
            if not restarts:
                await fetch(other, directory)
                if not seen:
                    assert await known(directory, 1) == status_of(1, colour=Colour.RED)
                    await fetch(other, directory)
                assert await known(directory, 1) == status_of(1)
        async with Directory.opened(tmp_path / "replica.db") as directory:
            for _ in range(1 if seen else 2):
                await fetch(other, directory)
            assert await known(directory, 1) == status_of(1)
        async with Directory.opened(tmp_path / "replica.db") as directory:
            assert await known(directory, 1) == status_of(1)


async def test_a_full_copy_of_the_same_generation_keeps_its_revocations(tmp_path: Path) -> None:
    async with (
        DirectoryStore.opened(tmp_path / "source.db") as source,
        Directory.opened(tmp_path / "replica.db") as directory,
    ):
        await source.put([status_of(1)])
        await fetch(source, directory)
        generation = directory.request().generation
        await directory.start_again()
        await directory.revoke(revoked(generation, status_of(1, colour=Colour.RED, version=2)))
        await fetch(source, directory)  # a copy that does not contain the operation yet
        for _ in range(3):
            assert await known(directory, 1) == status_of(1, colour=Colour.RED)
            await fetch(source, directory)


@pytest.mark.parametrize("body", [b'{"colour":"purple"}', b"[" * 5000, b'{"colour":"\xff"}'])
async def test_a_row_that_is_not_valid_is_a_failed_look_up(tmp_path: Path, body: bytes) -> None:
    async with Directory.opened(tmp_path / "replica.db") as directory:
        op = DirectoryOp(1, status_of(1).person_key, msgspec.Raw(body))
        await directory.revoke(Revocation("g", (op,)))
        found = await directory.lookup(status_of(1).person_key, budget_s=0.1)
        assert (found.outcome, found.status) == (LookupOutcome.FAILED, None)


async def test_too_many_revocations_make_the_replica_unconfirmed(tmp_path: Path) -> None:
    async with (
        DirectoryStore.opened(tmp_path / "source.db") as source,
        Directory.opened(tmp_path / "replica.db", pending_limit=2) as directory,
    ):
        await fetch(source, directory)
        await directory.revoke(revoked("g", *(status_of(index, version=7) for index in range(2))))
        assert directory.freshness()[0] is Freshness.FRESH
        await directory.revoke(revoked("g", status_of(3, version=8)))
        assert directory.freshness()[0] is Freshness.EXPIRED
        assert await known(directory, 1) == status_of(1)
        assert await known(directory, 3) is None


class DirectoryHistory(RuleBasedStateMachine):
    """Changes, lost and repeated pages, purges and restarts in any order; after a fetch the replica is up to date."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = quick_folder()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.people: dict[int, HealthStatus] = {}
        self.on_the_way: list[DirectoryPage] = []
        self.open()

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def open(self) -> None:
        home = Path(self.folder.name)
        self.source = self.run(self.stack.enter_async_context(DirectoryStore.opened(home / "source.db")))
        self.directory = self.run(self.stack.enter_async_context(Directory.opened(home / "replica.db")))

    @rule(index=st.integers(0, 5), colour=st.sampled_from(Colour))
    def change(self, index: int, colour: Colour) -> None:
        self.people[index] = status_of(index, colour=colour)
        self.run(self.source.put([self.people[index]]))

    @rule(index=st.integers(0, 5))
    def remove(self, index: int) -> None:
        assert self.run(self.source.remove([status_of(index).person_key])) == (index in self.people)
        self.people.pop(index, None)

    @rule(index=st.integers(0, 5), whole=st.booleans())
    def revoke(self, index: int, whole: bool) -> None:
        """A change that is also published as a revocation before its page."""
        self.people[index] = status_of(index, colour=Colour.RED)
        self.run(self.source.put([self.people[index]]))
        page = self.run(self.source.page(DirectoryRequest(self.directory.request().generation, 0)))
        ops = tuple(op for op in page.ops if whole or op.person_key == self.people[index].person_key)
        self.run(self.directory.revoke(Revocation(page.generation, ops)))
        assert self.run(known(self.directory, index)) == self.people[index]

    @rule()
    def purge(self) -> None:
        self.run(self.source.purge())

    @rule()
    def send(self) -> None:
        self.on_the_way.append(self.run(self.source.page(self.directory.request())))

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data(), keep=st.booleans())
    def deliver(self, data: st.DataObject, keep: bool) -> None:
        which = data.draw(st.integers(0, len(self.on_the_way) - 1))
        self.run(self.directory.take(self.on_the_way[which] if keep else self.on_the_way.pop(which)))

    @rule()
    def restart(self) -> None:
        self.run(self.stack.aclose())
        self.open()

    @rule()
    def fetch_and_compare(self) -> None:
        self.run(fetch(self.source, self.directory))
        assert self.run(self.replica()) == self.people

    async def replica(self) -> dict[int, HealthStatus]:
        found = {index: await known(self.directory, index) for index in range(6)}
        return {index: status for index, status in found.items() if status is not None}

    def teardown(self) -> None:
        self.fetch_and_compare()
        self.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()


DirectoryHistory.TestCase.settings = settings(
    max_examples=int(os.environ.get("DIRECTORY_HISTORIES", "200")), stateful_step_count=20
)
TestDirectoryHistory = DirectoryHistory.TestCase
