"""Every page in its main states, judged by axe-core."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from config.catalogue import LANGUAGES
from edge_agent.calibration.view.alignment import PLACES
from edge_agent.domain.passage import Reason, Verdict
from edge_agent.screen.view_state import Hint
from sync.contract.health import Freshness
from sync.contract.messages import BoxState, DirectoryHealth, HealthReport, OutboxHealth
from sync.contract.records import RecordId, encode_record
from sync.platform.fleet.fleet import Fleet
from sync.platform.fleet.page import FleetPage
from sync.platform.records.open_store import open_store
from sync.platform.records.received import ReceivedRecord
from tests.accessibility import accessibility_faults, needs_axe
from tests.browser import chromium, open_page
from tests.edge_agent.calibration.test_alignment_routes import opened_page
from tests.edge_agent.kiosk.stand import Stand
from tests.edge_agent.kiosk.test_page import judged, show, staged
from tests.edge_agent.kiosk.test_staff import PIN, opened_desk, passage
from tests.sync.city import mixed

pytestmark = needs_axe
EPOCH = "0123456789abcdef"


async def test_a_page_with_faults_is_not_clean() -> None:
    async with chromium() as browser:
        page = await open_page(browser)
        await page.set_content('<html lang="en"><title>t</title><p style="color: #bbb">pale</p></html>')
        faults = await accessibility_faults(page)
        assert {fault.split(" at ")[0] for fault in faults} >= {"color-contrast", "landmark-one-main"}


async def test_the_kiosk_page() -> None:
    states = [view for view in staged() if view.hint in (None, Hint.COME_CLOSER)]
    verdicts = [view for view in judged() if view.reasons[0] == Reason.TEST_EXPIRED]
    assert {view.verdict for view in verdicts} == set(Verdict)
    stand = Stand()
    await stand.start()
    async with chromium() as browser:
        page = await open_page(browser, reduced_motion="reduce")
        await page.goto(stand.url)
        for number, view in enumerate([*states, *verdicts]):
            await show(stand, page, msgspec.structs.replace(view, language=LANGUAGES[number % len(LANGUAGES)]))
            assert await accessibility_faults(page) == [], view
        for button in ("#large", "#contrast"):
            await page.locator(button).click()
            assert await accessibility_faults(page) == [], button
    await stand.stop()


async def test_the_staff_page(tmp_path: Path) -> None:
    async with opened_desk(tmp_path) as desk, chromium() as browser:
        await desk.ledger.commit(passage(Verdict.ASSIST, Reason.CODE_RED))
        await desk.ledger.commit(passage(Verdict.ASSIST, Reason.TEST_EXPIRED, Reason.MASK_INCORRECT))
        page = await open_page(browser)
        await page.goto(f"{desk.stand.url}/staff")
        await page.locator("#pad button").first.wait_for()
        assert await accessibility_faults(page) == []
        await page.keyboard.type("000001")
        await page.keyboard.press("Enter")
        await page.locator("#message:not(:empty)").wait_for()
        assert await accessibility_faults(page) == []
        await page.keyboard.type(PIN)
        await page.keyboard.press("Enter")
        await page.locator("#passages li").nth(1).wait_for()
        await page.locator("header button[lang=en]").click()
        assert await accessibility_faults(page) == []
        await page.get_by_role("button", name="Let pass").first.click()
        await page.get_by_role("button", name="Checked by hand").wait_for()
        assert await accessibility_faults(page) == []


async def test_the_staff_page_without_a_pin(tmp_path: Path) -> None:
    async with opened_desk(tmp_path, pin=None) as desk, chromium() as browser:
        page = await open_page(browser)
        await page.goto(f"{desk.stand.url}/staff")
        await page.locator("code").wait_for()
        assert await accessibility_faults(page) == []


async def test_the_alignment_page() -> None:
    async with opened_page() as served, chromium() as browser:
        page = await open_page(browser)
        await page.goto(served.url)
        await page.locator('#en:has-text("camera gives no picture")').wait_for()
        assert await accessibility_faults(page) == []
        for place in PLACES:
            served.give(place)
            served.alignment.touch(place)
        await page.locator("#keep:enabled").wait_for()
        assert await accessibility_faults(page) == []


def district() -> Fleet:
    """A box of each colour: fine, a part lost, offline, certificate near its end, behind."""
    fleet, now = Fleet(), datetime.now(UTC)
    for number in range(5):
        fleet.state(f"box-{number}", BoxState(number != 2, EPOCH, "boot", {"agent": "0"}), now)
        outbox = OutboxHealth(10, 4000 if number == 4 else 0, 0, 0.0, 1)
        directory = DirectoryHealth(Freshness.STALE if number == 1 else Freshness.FRESH, 1.0, 7)
        parts = {"camera": "lost" if number == 1 else "ok"}
        days = 12.6 if number == 3 else 200.0
        fleet.health(f"box-{number}", HealthReport(1.0, outbox, directory, parts, certificate_days=days), now)
    return fleet


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("make_fleet", [Fleet, district], ids=["empty", "five boxes"])
async def test_the_fleet_page(tmp_path: Path, colours: str, make_fleet: Callable[[], Fleet]) -> None:
    fleet = make_fleet()
    async with open_store(str(tmp_path / "records.db")) as store, chromium() as browser:
        server = FleetPage(store, fleet)
        if fleet.names():
            for seq, record in enumerate(mixed(20), start=1):
                name, now = RecordId("box-0", EPOCH, seq), datetime.now(UTC)
                await store.insert([ReceivedRecord.read(name, record.TYPE, now, now, encode_record(record))])
        async with server.served("127.0.0.1", 0) as port:
            page = await open_page(browser, color_scheme=colours)
            await page.goto(f"http://127.0.0.1:{port}/")
            await page.locator("#figures li").first.wait_for()
            for _ in LANGUAGES[:2]:
                assert await accessibility_faults(page) == []
                await page.locator("#language").click()
            if fleet.names():
                await page.locator("#boxes tr").first.hover()
                assert await accessibility_faults(page) == []
