"""A disk without room for a verdict: nobody is told one, nothing that happened is forgotten, and it heals by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.settings import BoxSettings
from drivers.simulated.people.scenes import SceneKind
from edge_agent.box.wall_clock import WallClock
from edge_agent.records.recorder import PENDING_LIMIT, PassageRecorder
from sync.contract.records import AlarmRaised
from sync.edge.ledger.ledger import Ledger
from tests.edge_agent.town import Town, scene_of, town
from tests.limits import HANG_S


async def let_grow(outbox: Ledger, pages: int) -> None:
    """Let the file have so many pages and no more; 1 is as many as it has."""
    await outbox._store.run(lambda db: db.conn.execute(f"PRAGMA max_page_count = {pages}").fetchone())


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with Ledger.opened(tmp_path / "ledger.db", box="box-1", budget_bytes=10_000_000) as opened:
        yield opened


async def fill(ledger: PassageRecorder) -> int:
    """Raise alarms, which are never given up, until the disk takes no more; returns how many there were."""
    count = 0
    while not ledger.is_full:
        await ledger.alarm("part_lost", f"part {count}", "x" * 500)
        count += 1
    return count


async def test_what_happened_while_the_disk_was_full_is_stored_when_there_is_room(outbox: Ledger) -> None:
    ledger = PassageRecorder(outbox, BoxSettings(), WallClock().now)
    await let_grow(outbox, 1)
    count = await fill(ledger)
    await ledger.alarm("part_back", "thermometer", "")
    await ledger.store_pending()
    assert ledger.is_full
    await let_grow(outbox, 1_000_000)
    await ledger.store_pending()
    assert not ledger.is_full
    alarms = [row.record() for row in reversed(await outbox.recent(1000))]
    told = [(alarm.kind, alarm.subject) for alarm in alarms if isinstance(alarm, AlarmRaised)]
    assert [subject for kind, subject in told if kind == "part_lost"] == [f"part {n}" for n in range(count)]
    assert told.index(("part_back", "thermometer")) == told.index(("part_lost", f"part {count - 1}")) + 1
    assert ("disk_full", "ledger") in told
    assert ledger.dropped == 0


async def test_what_is_owed_is_bounded_and_counted(outbox: Ledger) -> None:
    ledger = PassageRecorder(outbox, BoxSettings(), WallClock().now)
    await let_grow(outbox, 1)
    await fill(ledger)
    for _ in range(PENDING_LIMIT + 5):
        await ledger.alarm("part_lost", "reader", "")
    assert ledger.dropped == 6  # and the one that the disk refused first


async def test_nobody_is_told_a_verdict_that_is_not_stored(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        await let_grow(place.outbox, 1)
        ledger = place.sentinel.recorder
        await fill(ledger)
        over = asyncio.Event()
        visit = asyncio.create_task(place.street.play(scene_of(SceneKind.HEALTHY), over, patience_s=HANG_S))
        view = await place.seen(lambda view: view.hint == "call_staff")
        assert view.verdict is None
        assert ("disk", "broken") in [(part.name, part.state) for part in view.parts]
        over.set()
        await visit
        await _nobody_passed(place)
        await let_grow(place.outbox, 1_000_000)
        await place.seen(lambda view: view.stage == "idle" and all(part.state == "ok" for part in view.parts))
        assert (await place.visit(scene_of(SceneKind.HEALTHY))).verdict is not None


async def _nobody_passed(place: Town) -> None:
    assert place.relay.pulses == 0
    assert place.sentinel.metrics.counts() == {}
    assert await place.passages() == []
