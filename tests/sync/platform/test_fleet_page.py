"""The fleet page in a real browser, with a district of 948 boxes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from sync.contract.health import Freshness
from sync.contract.messages import BoxState, DirectoryHealth, HealthReport, OutboxHealth
from sync.contract.records import RecordId, encode_record
from sync.platform.fleet.fleet import Fleet
from sync.platform.fleet.page import FleetPage
from sync.platform.records.open_store import open_store
from sync.platform.records.received import ReceivedRecord
from tests.browser import chromium, open_page
from tests.sync.city import mixed

BOXES = 948
EPOCH = "0123456789abcdef"


def district(now: datetime) -> Fleet:
    """948 boxes: one has lost its camera, one is offline, one has an old certificate, one is behind."""
    fleet = Fleet()
    for number in range(BOXES):
        box = f"box-{number:04d}"
        parts = {"camera": "lost" if number == 500 else "ok", "thermometer": "ok", "disk": "ok"}
        waiting = 4000 if number == 700 else 0
        fleet.state(box, BoxState(number != 600, EPOCH, "boot", {"agent": "0"}), now)
        outbox, directory = OutboxHealth(10, waiting, 0, 0.0, 1), DirectoryHealth(Freshness.FRESH, 1.0, 7)
        report = HealthReport(1.0, outbox, directory, parts, certificate_days=12.6 if number == 650 else 200.0)
        fleet.health(box, report, now)
    return fleet


def copied(seq: int, now: datetime) -> ReceivedRecord:
    """Another record under a number of box-0042."""
    [record] = mixed(1, 90)
    return ReceivedRecord.read(RecordId("box-0042", EPOCH, seq), record.TYPE, now, now, encode_record(record))


@asynccontextmanager
async def browsing(tmp_path: Path, now: datetime) -> AsyncIterator[tuple[Page, FleetPage]]:
    """The page in a browser whose clock stands at `now`: how long the test takes makes no box silent."""
    async with open_store(str(tmp_path / "records.db")) as store, chromium() as browser:
        for number in range(BOXES):
            named = [RecordId(f"box-{number:04d}", EPOCH, seq) for seq in range(1, 6)]
            await store.insert(
                [
                    ReceivedRecord.read(name, record.TYPE, now, now, encode_record(record))
                    for name, record in zip(named, mixed(5), strict=True)
                ]
            )
        page_server = FleetPage(store, district(now))
        async with page_server.served("127.0.0.1", 0) as port:
            page = await open_page(browser, locale="en")
            await page.clock.set_fixed_time(now)
            await page.goto(f"http://127.0.0.1:{port}/")
            await page.wait_for_selector("#boxes tr")
            yield page, page_server


async def first(page: Page, count: int) -> list[str]:
    return [await page.locator("#boxes tr").nth(place).locator("td").first.inner_text() for place in range(count)]


async def shown(page: Page) -> int:
    return await page.locator("#boxes tr").count()


async def test_a_district_at_a_glance(tmp_path: Path) -> None:
    now, problems = datetime.now(UTC), list[Any]()
    async with browsing(tmp_path, now) as (page, server):
        page.on("pageerror", lambda problem: problems.append(problem))
        page.on("console", lambda said: problems.append(said.text))
        await page.reload()
        await page.wait_for_selector("#boxes tr")
        assert "发热" in await page.locator("#alarms").inner_text()
        assert await first(page, 4) == ["box-0500", "box-0600", "box-0650", "box-0700"]  # the gravest first
        assert await shown(page) == BOXES
        columns = await page.locator("#head th").count()
        assert await page.locator("#boxes tr").first.locator("td").count() == columns
        await page.click("#language")
        assert await page.title() == "Sentinels · Platform"
        assert await page.locator("#head th").count() == columns
        await page.get_by_role("button", name="in trouble").click()
        assert await shown(page) == 4
        assert await page.locator("#boxes .warn").first.inner_text() == "12 days"
        await page.get_by_role("button", name="behind").click()
        assert await first(page, 1) == ["box-0700"]
        await page.get_by_role("button", name="all", exact=True).click()
        await page.fill("#search", "box-09")
        assert await shown(page) == 48
        await page.get_by_role("button", name="Box", exact=True).click()
        await page.get_by_role("button", name="Box", exact=True).click()
        assert await first(page, 1) == ["box-0947"]
        await server._store.insert([copied(3, now)])
        await page.fill("#search", "")
        await page.get_by_text("a second device reports as this box from number 3 on").wait_for()
        assert await page.get_by_text("card copied?", exact=True).count() == 2  # in its row and among the alarms
        server._fleet.state("box-0948", BoxState(True, EPOCH, "boot", {}), now - timedelta(hours=2))
        await page.get_by_text("2 hours ago", exact=True).wait_for()
        await page.get_by_role("button", name="offline", exact=True).click()
        assert "box-0948" in await page.locator("#boxes tr", has_text="silent").inner_text()
        figures = await server.stats()
        assert len(figures["boxes"]) == BOXES + 1
        assert (figures["records"], figures["duplicates"]) == (5 * BOXES, 0)
    assert problems == []
