"""The page in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from config.catalogue import LANGUAGES, columns, load_catalogue
from edge_agent.board import Hint, Stage, View
from edge_agent.domain import Reason, Verdict
from tests.kiosk.stand import OFFLINE, PARTS, Stand, blank_jpeg, changed, lost

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHROMIUM = "/usr/bin/chromium"
SIZES = {"5 inch": (800, 480), "10 inch": (1280, 800), "15 inch upright": (1080, 1920)}
LIMIT_MS = 10_000
FACE = (0.1, 0.2, 0.3, 0.5)
CATALOGUE = load_catalogue()
LAYOUT_FAULTS = (Path(__file__).parent / "layout.js").read_text()
SERVED = "(served) => document.getElementById('passages').textContent.includes(served)"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def stand() -> AsyncIterator[Stand]:
    stand = Stand()
    await stand.start()
    yield stand
    await stand.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, stand: Stand) -> AsyncIterator[Page]:
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(LIMIT_MS)
    await page.goto(stand.url)
    yield page
    await page.close()


def staged() -> list[View]:
    """Every stage and hint, with parts lost and the link down among them."""
    views = [changed(stage=Stage.STARTING), changed(), changed(link=OFFLINE, parts=lost(*PARTS))]
    stages = [(Stage.ARRIVAL, None), *((Stage.MEASURING, hint) for hint in (None, *Hint))]
    busy = changed(face=FACE, link=OFFLINE, parts=lost("speaker"))
    return views + [msgspec.structs.replace(busy, stage=stage, hint=hint) for stage, hint in stages]


def judged() -> list[View]:
    """Every reason with the widest one after it, and every verdict."""
    widest = max(Reason, key=lambda reason: max(columns(CATALOGUE.text("reason", reason, each)) for each in LANGUAGES))
    reasons = {CATALOGUE.text("reason", reason, "zh-CN"): reason for reason in Reason}.values()  # each text once
    verdicts = [
        *((reason, Verdict.ASSIST) for reason in reasons),
        *((Reason.TEST_EXPIRED, verdict) for verdict in Verdict),
    ]
    return [
        changed(
            stage=Stage.RESULT,
            verdict=verdict,
            reasons=(reason, widest),
            prompt=CATALOGUE.spoken("reason", reason),
            temperature_c=38.1,
            mask="incorrect",
            credential="unreadable",
        )
        for reason, verdict in verdicts
    ]


async def show(stand: Stand, page: Page, view: View) -> None:
    """Put `view` and wait until the page has drawn it; the count of passages tells one view from the next."""
    view = msgspec.structs.replace(view, passages=1000 + stand.views.sequence)
    stand.views.put(view)
    await page.wait_for_function(SERVED, arg=str(view.passages))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_state_is_whole_and_legible(stand: Stand, browser: Browser, size: str, language: str) -> None:
    width, height = SIZES[size]
    page = await browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(stand.url)
    for view in [*staged(), *judged()]:
        await show(stand, page, msgspec.structs.replace(view, language=language))
        assert await page.evaluate(LAYOUT_FAULTS) == [], view
    await page.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(stand.url)] == []


async def test_a_verdict_is_told_by_colour_shape_and_word(stand: Stand, page: Page) -> None:
    told = set()
    for verdict in Verdict:
        await show(
            stand, page, changed(stage=Stage.RESULT, verdict=verdict, reasons=("fever",), prompt="temperature_high")
        )
        colour = await page.locator("main").evaluate("(main) => getComputedStyle(main).backgroundColor")
        shape = await page.locator("#shape").get_attribute("href")
        word = await page.locator("#headline").inner_text()
        assert word == CATALOGUE.text("verdict", verdict, "zh-CN")
        assert await page.locator("#next").inner_text() == CATALOGUE.text("prompt", "temperature_high", "zh-CN")
        assert await page.locator("#reasons li").all_inner_texts() == [CATALOGUE.text("reason", "fever", "zh-CN")]
        told.add((colour, shape, word))
    assert [len(set(column)) for column in zip(*told, strict=True)] == [len(Verdict)] * 3


async def test_an_old_verdict_is_covered_while_the_stream_is_cut(stand: Stand, page: Page) -> None:
    await show(stand, page, changed(stage=Stage.RESULT, verdict=Verdict.ADMIT, reasons=("all_clear",), prompt="pass"))
    await expect(page.locator("#stale")).to_be_hidden()
    await stand.stop()
    await expect(page.locator("#stale")).to_be_visible()
    middle = "() => document.elementFromPoint(innerWidth / 2, innerHeight / 2).closest('#stale') !== null"
    assert await page.evaluate(middle)
    assert await page.evaluate(LAYOUT_FAULTS) == []
    stand.views.put(changed())
    await stand.start()
    await expect(page.locator("#stale")).to_be_hidden()
    await expect(page.locator("#headline")).to_have_text(CATALOGUE.text("stage", "idle", "zh-CN"))


async def test_lost_parts_and_a_lost_link_say_what_they_mean_for_people(stand: Stand, page: Page) -> None:
    notices = page.locator("#notices li")
    await show(stand, page, changed(link=OFFLINE, parts=lost("thermometer")))
    assert await notices.all_inner_texts() == [
        CATALOGUE.text("label", "offline", "zh-CN"),
        f"{CATALOGUE.text('part', 'thermometer', 'zh-CN')}：{CATALOGUE.text('part_lost', 'thermometer', 'zh-CN')}",
    ]
    assert "2 小时前" in await page.locator("#freshness").inner_text()
    await show(stand, page, changed())
    await expect(notices).to_have_count(0)


async def test_a_touch_changes_the_language_until_the_next_person(stand: Stand, page: Page) -> None:
    arrival, headline = changed(stage=Stage.ARRIVAL), page.locator("#headline")
    await page.clock.install()
    await page.reload()
    await show(stand, page, arrival)
    await page.get_by_role("button", name="English").press("Enter")
    await expect(headline).to_have_text(CATALOGUE.text("stage", "arrival", "en"))
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await show(stand, page, changed())
    await expect(headline).to_have_text(CATALOGUE.text("stage", "idle", "en"))
    await page.clock.run_for(20_000)
    await show(stand, page, arrival)
    await expect(headline).to_have_text(CATALOGUE.text("stage", "arrival", "zh-CN"))


async def test_the_face_is_framed_in_the_mirrored_picture(stand: Stand, page: Page) -> None:
    await show(stand, page, changed(stage=Stage.ARRIVAL, face=FACE))
    await expect(page.locator("#mirror")).to_be_visible()
    picture, face = await page.locator("#frame").bounding_box(), await page.locator("#face").bounding_box()
    assert picture
    assert face
    assert picture["width"] / picture["height"] == pytest.approx(4 / 3, abs=0.01)
    right = picture["x"] + picture["width"] - (face["x"] + face["width"])
    assert right / picture["width"] == pytest.approx(FACE[0], abs=0.01)
    assert face["height"] / picture["height"] == pytest.approx(FACE[3], abs=0.01)


async def test_a_camera_that_gives_nothing_leaves_no_old_picture(stand: Stand, page: Page) -> None:
    await show(stand, page, changed(stage=Stage.ARRIVAL))
    await page.wait_for_function("() => document.getElementById('mirror').naturalWidth === 640")
    stand.jpeg = None
    await page.wait_for_function("() => document.getElementById('mirror').naturalWidth === 1")
    stand.jpeg = blank_jpeg()
    await page.wait_for_function("() => document.getElementById('mirror').naturalWidth === 640")
    await expect(page.locator("#mirror")).to_be_visible()


async def test_nobody_is_watched_when_nobody_is_there(stand: Stand, page: Page) -> None:
    await show(stand, page, changed(stage=Stage.MEASURING))
    await expect(page.locator("#mirror")).to_be_visible()
    await show(stand, page, changed())
    asked = stand.frames_asked
    await expect(page.locator("#mirror")).to_be_hidden()
    for _ in range(3):
        await show(stand, page, changed())
    assert stand.frames_asked == asked


async def test_a_repeated_view_touches_nothing(stand: Stand, page: Page) -> None:
    view = changed(stage=Stage.RESULT, verdict=Verdict.RECHECK, reasons=("mask_missing",), prompt="mask_on")
    await show(stand, page, view)
    await page.evaluate(
        "() => { window.touched = 0; new MutationObserver((all) => { window.touched += all.length; }).observe("
        "document.querySelector('main'), { subtree: true, childList: true, attributes: true, characterData: true }); }"
    )
    for _ in range(5):
        await show(stand, page, view)
    assert await page.evaluate("() => window.touched") == 0
